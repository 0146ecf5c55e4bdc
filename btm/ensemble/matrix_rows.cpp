#include "btm/ensemble/matrix_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "btm/ensemble/mix_batch.h"

namespace btm {
namespace {

SampleSums empty_sums(const EvalData& data) {
  const auto samples = static_cast<std::size_t>(data.dataset().size());
  return {std::vector<double>(samples, 0.0), std::vector<std::int64_t>(samples, 0)};
}

void add_batch(const Batch& batch, std::span<const float> scores, SampleSums& sums) {
  batch.for_each_scored([&](std::int64_t row, std::size_t at) {
    const auto sample = static_cast<std::size_t>(batch.id_of(row));
    sums.loss[sample] -= scores[at];
    ++sums.tokens[sample];
  });
}

/// Sums of a domain over its blocks and over the draws: the losses of all rows, then their tokens.
class DomainDraws {
 public:
  DomainDraws(const DomainSums& sums, const EvalMatrixOptions& options, std::int64_t seed)
      : rows_(sums.rows.size()) {
    const std::vector<std::int64_t>& size = sums.rows.front().tokens;
    std::vector<std::vector<double>> columns;
    for (const SampleSums& row : sums.rows)
      columns.push_back(block_sums(row.loss, size, options.block_tokens));
    for (const SampleSums& row : sums.rows)
      columns.push_back(block_sums(std::vector<double>(row.tokens.begin(), row.tokens.end()), size,
                                   options.block_tokens));
    blocks_ = static_cast<std::int64_t>(columns.front().size());
    for (const auto& column : columns)
      totals_.push_back(std::accumulate(column.begin(), column.end(), 0.0));
    if (blocks_ >= kFewestBlocks) draws_ = resampled_sums(columns, options.resamples, seed);
  }

  std::int64_t blocks() const { return blocks_; }
  double loss(std::size_t row) const { return totals_[row]; }
  double tokens(std::size_t row) const { return totals_[rows_ + row]; }
  double perplexity(std::size_t row) const { return std::exp(loss(row) / tokens(row)); }
  /// One for each draw. Empty when there are too few blocks.
  std::vector<double> perplexities(std::size_t row) const {
    std::vector<double> values;
    if (draws_.empty()) return values;
    for (std::size_t r = 0; r < draws_[row].size(); ++r)
      values.push_back(std::exp(draws_[row][r] / draws_[rows_ + row][r]));
    return values;
  }

 private:
  std::size_t rows_;
  std::int64_t blocks_ = 0;
  std::vector<double> totals_;
  std::vector<std::vector<double>> draws_;
};

std::vector<double> ratios(const std::vector<double>& values, const std::vector<double>& base) {
  std::vector<double> result;
  for (std::size_t i = 0; i < values.size(); ++i) result.push_back(values[i] / base[i]);
  return result;
}

/// Adds a domain's draws. A domain without draws leaves the mean without an interval.
void add_to(std::vector<double>& sum, const std::vector<double>& values) {
  if (values.empty()) std::ranges::fill(sum, std::nan(""));
  for (std::size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
}

MatrixCell make_cell(const DomainDraws& draws, std::size_t row, std::size_t baseline,
                     std::int64_t bytes) {
  MatrixCell cell;
  cell.loss_sum = draws.loss(row);
  cell.tokens = std::llround(draws.tokens(row));
  cell.bytes = bytes;
  cell.blocks = draws.blocks();
  cell.perplexity = draws.perplexity(row);
  cell.bits_per_byte =
      bytes > 0 ? cell.loss_sum / std::log(2.0) / static_cast<double>(bytes) : std::nan("");
  const std::vector<double> drawn = draws.perplexities(row);
  cell.perplexity_interval = percentile_interval(drawn);
  cell.ratio = cell.perplexity / draws.perplexity(baseline);
  cell.ratio_interval = percentile_interval(ratios(drawn, draws.perplexities(baseline)));
  return cell;
}

}  // namespace

SampleSums sum_scores(const EvalData& data, std::span<const float> scores) {
  SampleSums sums = empty_sums(data);
  std::size_t offset = 0;
  BatchReader reader(data);
  for (Batch batch; reader.next(batch);) {
    add_batch(batch, scores.subspan(offset, batch.size()), sums);
    offset += batch.size();
  }
  return sums;
}

std::vector<double> sum_bytes(const EvalData& data, const ByteCounts& counts) {
  std::vector<double> bytes(static_cast<std::size_t>(data.dataset().size()), 0.0);
  BatchReader reader(data);
  for (Batch batch; reader.next(batch);)
    batch.for_each_scored([&](std::int64_t row, std::size_t at) {
      bytes[static_cast<std::size_t>(batch.id_of(row))] +=
          static_cast<double>(counts[static_cast<std::size_t>(batch.targets[at])]);
    });
  return bytes;
}

EnsembleRun run_ensemble(const EvalData& data, std::span<const std::span<const float>> scores,
                         Posterior posterior) {
  EnsembleRun run{empty_sums(data), {}, {}};
  std::size_t offset = 0;
  BatchReader reader(data);
  for (Batch batch; reader.next(batch);) {
    std::vector<std::span<const float>> parts;
    for (const std::span<const float> expert : scores)
      parts.push_back(expert.subspan(offset, batch.size()));
    MixedBatch mixed = mix_batch(batch, parts, posterior);
    add_batch(batch, mixed.log_probs, run.sums);
    posterior.prior().update(mixed.posterior);
    run.posteriors.push_back(std::move(mixed.posterior));
    offset += batch.size();
  }
  run.mean_posterior = posterior.prior().mean_posterior();
  return run;
}

void fill_rows(EvalMatrix& matrix, const std::vector<DomainSums>& domains,
               const EvalMatrixOptions& options) {
  const auto count = static_cast<double>(domains.size());
  std::vector<std::vector<double>> mean_draws(
      matrix.rows.size(), std::vector<double>(static_cast<std::size_t>(options.resamples), 0.0));
  for (std::size_t d = 0; d < domains.size(); ++d) {
    const DomainDraws draws(domains[d], options, options.seed + static_cast<std::int64_t>(d));
    const std::int64_t bytes =
        domains[d].total_bytes > 0
            ? domains[d].total_bytes
            : std::llround(std::accumulate(domains[d].bytes.begin(), domains[d].bytes.end(), 0.0));
    for (std::size_t r = 0; r < matrix.rows.size(); ++r) {
      matrix.rows[r].cells.push_back(make_cell(draws, r, matrix.baseline, bytes));
      add_to(mean_draws[r], draws.perplexities(r));
    }
  }
  for (std::size_t r = 0; r < matrix.rows.size(); ++r) {
    MatrixCell& mean = matrix.rows[r].mean;
    for (const MatrixCell& cell : matrix.rows[r].cells) {
      mean.loss_sum += cell.loss_sum;
      mean.tokens += cell.tokens;
      mean.blocks = mean.blocks == 0 ? cell.blocks : std::min(mean.blocks, cell.blocks);
      mean.bytes += cell.bytes;
      mean.perplexity += cell.perplexity / count;
      mean.bits_per_byte += cell.bits_per_byte / count;
    }
    for (double& value : mean_draws[r]) value /= count;
    mean.perplexity_interval = percentile_interval(mean_draws[r]);
  }
  for (std::size_t r = 0; r < matrix.rows.size(); ++r) {
    matrix.rows[r].mean.ratio =
        matrix.rows[r].mean.perplexity / matrix.rows[matrix.baseline].mean.perplexity;
    matrix.rows[r].mean.ratio_interval =
        percentile_interval(ratios(mean_draws[r], mean_draws[matrix.baseline]));
  }
}

}  // namespace btm
