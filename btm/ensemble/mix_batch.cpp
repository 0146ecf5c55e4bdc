#include "btm/ensemble/mix_batch.h"

#include "btm/data/scored_columns.h"

namespace btm {
namespace {

void mix_row(const Batch& batch, std::int64_t row, std::span<const std::span<const float>> scores,
             const RowPrior& log_prior, PosteriorRule rule, std::int64_t pad, bool sparse,
             MixedBatch& mixed) {
  const std::vector<std::int64_t> columns = scored_columns(batch, row, pad);
  const auto begin = static_cast<std::size_t>(row * batch.columns);
  std::vector<std::vector<float>> targets(scores.size());  // [E][L]: padding may lie between them
  BlockScores block;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    for (const std::int64_t column : columns)
      targets[e].push_back(scores[e][begin + static_cast<std::size_t>(column)]);
    block.targets.push_back(targets[e]);
    if (batch.columns - batch.first_scored[static_cast<std::size_t>(row)] >= 2)
      block.before_last.push_back(scores[e][begin + static_cast<std::size_t>(batch.columns) - 2]);
  }
  const std::vector<double> prior = log_prior(row, columns);
  if (sparse && !columns.empty()) {
    block.absent.assign(scores.size(), true);
    for (const std::size_t e : experts_with_weight(prior, scores.size())) block.absent[e] = false;
  }
  const MixedBlock result = mix_block(block, prior, rule);
  for (std::size_t t = 0; t < columns.size(); ++t)
    mixed.log_probs[begin + static_cast<std::size_t>(columns[t])] =
        static_cast<float>(result.log_probs[t]);
  for (std::size_t e = 0; e < scores.size(); ++e)
    mixed.posterior[e] += result.posterior[e] / static_cast<double>(batch.rows);
}

}  // namespace

MixedBatch mix_batch(const Batch& batch, std::span<const std::span<const float>> scores,
                     const RowPrior& log_prior, PosteriorRule rule, std::int64_t pad, bool sparse) {
  MixedBatch mixed{std::vector<float>(static_cast<std::size_t>(batch.rows * batch.columns)),
                   std::vector<double>(scores.size(), 0.0)};
  for (std::int64_t row = 0; row < batch.rows; ++row)
    mix_row(batch, row, scores, log_prior, rule, pad, sparse, mixed);
  return mixed;
}

}  // namespace btm
