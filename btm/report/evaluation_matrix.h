// The evaluation matrix, models by domains: what `btm eval-matrix` finds, and its file matrix.json,
// which is written and read here alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "btm/evaluator/bootstrap.h"

namespace btm {

/// A model on a domain.
struct MatrixCell {
  double loss_sum =
      0;  ///< Natural log; infinite, as the perplexity, where a token has probability 0.
  std::int64_t tokens = 0, bytes = 0;  ///< bytes 0: not known.
  std::int64_t blocks = 0;  ///< Of the bootstrap: fewer than kFewestBlocks give no interval (NaN).
  double perplexity = 0, bits_per_byte = 0;
  Interval perplexity_interval;  ///< 95%.
  double ratio = 1;              ///< Of the perplexity to the baseline's ...
  Interval ratio_interval;       ///< ... over the same draws for both.

  double loss_base2() const;  ///< A token's.
};

struct MatrixRow {
  enum class Kind { kModel, kAverage, kEnsemble };
  std::string name;
  Kind kind = Kind::kModel;
  std::string path;               ///< Of a model.
  std::vector<MatrixCell> cells;  ///< By domain.
  MatrixCell mean;  ///< Arithmetic mean over the domains: perplexity, bits per byte, ratio of
                    ///< perplexities.
  std::int64_t parameters = 0;  ///< Of an ensemble: of all experts. 0: not known.
  std::int64_t active = 0;      ///< Those that one token uses.
};

/// How the ensemble's belief moved over a domain.
struct DomainPosterior {
  std::vector<std::vector<double>>
      batches;  ///< [batch][expert] posterior of each batch of the split, under the updating prior.
  std::vector<double>
      cached_prior;  ///< [expert] after the prior split; empty without cached_prior.
};

struct EvalMatrix {
  std::string data, split;
  std::int64_t tokens_per_sample = 0;
  std::string precision;  ///< "fp32", "fp32 with products in bf16x3"; "" in older files.
  std::vector<std::string> domains, experts;
  std::vector<std::string> left_out;  ///< Models that diverged.
  std::int64_t block_tokens = 0;      ///< Of the bootstrap's blocks, at least.
  /// Domains of fewer blocks have no interval; 0 in a file of before that rule.
  std::int64_t fewest_blocks = 0;
  std::size_t baseline = 0;  ///< Of `rows`.
  std::vector<MatrixRow> rows;
  std::vector<DomainPosterior> posteriors;  ///< By domain; empty without experts.

  const MatrixRow* find_row(const std::string& name) const;  ///< Null when there is none.
};

/// Atomic. What JSON has no number for, NaN and infinity, is null; an infinite perplexity is marked
/// by "infinite" beside it.
void write_matrix(const std::filesystem::path& path, const EvalMatrix& matrix);

/// Null comes back as NaN, but for an infinite perplexity and the loss that it comes with.
/// FormatError for a file that is no matrix.json.
EvalMatrix read_matrix(const std::filesystem::path& path);

/// The same of text; `file` is for messages.
std::string matrix_to_text(const EvalMatrix& matrix);
EvalMatrix matrix_of_text(std::string_view text, const std::string& file);

}  // namespace btm
