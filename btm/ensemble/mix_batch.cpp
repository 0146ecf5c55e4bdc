#include "btm/ensemble/mix_batch.h"

#include <algorithm>

namespace btm {
namespace {

void mix_row(const Batch& batch, std::int64_t row, std::span<const std::span<const float>> scores, const RowPrior& log_prior,
             PosteriorRule rule, std::int64_t pad, bool sparse, MixedBatch& mixed) {
  const std::int64_t first = batch.first_scored[static_cast<std::size_t>(row)];
  const auto begin = static_cast<std::size_t>(row * batch.columns + first);
  const auto columns = static_cast<std::size_t>(batch.columns - first);
  const std::size_t length = scored_length(batch, row, pad);
  BlockScores block;
  for (const std::span<const float> expert : scores) {
    block.targets.push_back(expert.subspan(begin, length));
    if (columns >= 2) block.before_last.push_back(expert[begin + columns - 2]);
  }
  const std::vector<double> prior = log_prior(row, length);
  if (sparse && length > 0) {
    block.absent.assign(scores.size(), true);
    for (const std::size_t e : experts_with_weight(prior, scores.size())) block.absent[e] = false;
  }
  const MixedBlock result = mix_block(block, prior, rule);
  std::ranges::transform(result.log_probs, mixed.log_probs.begin() + static_cast<std::ptrdiff_t>(begin),
                         [](double value) { return static_cast<float>(value); });
  for (std::size_t e = 0; e < scores.size(); ++e) mixed.posterior[e] += result.posterior[e] / static_cast<double>(batch.rows);
}

}  // namespace

std::size_t scored_length(const Batch& batch, std::int64_t row, std::int64_t pad) {
  const auto first = static_cast<std::size_t>(row * batch.columns + batch.first_scored[static_cast<std::size_t>(row)]);
  const auto targets = std::span(batch.targets).subspan(first, static_cast<std::size_t>((row + 1) * batch.columns) - first);
  return static_cast<std::size_t>(std::ranges::find(targets, pad) - targets.begin());
}

MixedBatch mix_batch(const Batch& batch, std::span<const std::span<const float>> scores, const RowPrior& log_prior, PosteriorRule rule,
                     std::int64_t pad, bool sparse) {
  MixedBatch mixed{std::vector<float>(static_cast<std::size_t>(batch.rows * batch.columns)), std::vector<double>(scores.size(), 0.0)};
  for (std::int64_t row = 0; row < batch.rows; ++row) mix_row(batch, row, scores, log_prior, rule, pad, sparse, mixed);
  return mixed;
}

}  // namespace btm
