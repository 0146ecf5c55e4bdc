// The part of a report that shows an evaluation matrix. `btm run` draws it again from matrix.json,
// without evaluating.
#pragma once

#include <span>

#include "btm/report/evaluation_matrix.h"
#include "btm/report/html_page.h"
#include "btm/report/table.h"

namespace btm {

/// Heat map of perplexities, bars of ensemble against baseline and average, ratios to the baseline,
/// bits per byte, sizes and, with `costs`, the cost of training, posterior over the batches of each
/// domain.
void add_matrix(HtmlPage& page, const EvalMatrix& matrix, std::span<const double> costs = {});

/// One sentence: the row of the lowest mean perplexity, and its ratio to the baseline; empty where
/// no mean is finite.
std::string matrix_verdict(const EvalMatrix& matrix);

/// How much text the domains lack that have too few blocks for an interval: "law needs about
/// 1,024 more tokens (4 kB of text), ..."; empty when all have enough.
std::string missing_text(const EvalMatrix& matrix);

/// The same in sentences; empty when all have enough.
std::string interval_note(const EvalMatrix& matrix);

/// Rows by domains: perplexities (the best of each column starred), their mean with its interval,
/// bits per byte, ratio to the baseline; parameters, where they are known, and those that a token
/// uses; and the cost of each row's training, where `costs` [row] are given, as a ratio to the
/// baseline's. A cost that is NaN is not known.
Table perplexity_table(const EvalMatrix& matrix, std::span<const double> costs = {});

/// The same for a page, without the domains.
Table size_table(const EvalMatrix& matrix, std::span<const double> costs = {});

}  // namespace btm
