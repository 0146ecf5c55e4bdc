// The part of a report that shows an evaluation matrix. It uses the JSON of `btm eval-matrix`, so
// that a report can be made again without evaluating.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "btm/report/html_page.h"
#include "btm/report/table.h"

namespace btm {

/// Heat map of perplexities, bars of ensemble against baseline and average, ratios to the baseline,
/// bits per byte, posterior over the batches of each domain. nlohmann::json::exception for JSON
/// that is not a matrix.
void add_matrix(HtmlPage& page, const nlohmann::json& matrix);

/// One sentence on the domains that have too few blocks for an interval; empty when all have
/// enough.
std::string interval_note(const nlohmann::json& matrix);

/// Rows by domains: perplexities (the best of each column starred), their mean with its interval,
/// bits per byte, ratio to the baseline.
Table perplexity_table(const nlohmann::json& matrix);

}  // namespace btm
