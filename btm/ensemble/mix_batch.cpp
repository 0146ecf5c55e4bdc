#include "btm/ensemble/mix_batch.h"

#include <cmath>
#include <limits>

namespace btm {
namespace {

/// Calls `visit(place)` at every target of a row, after `state` has read the text before it.
template <class Visit>
void read_row(const Posterior& posterior, const Batch& batch, std::int64_t row,
              Posterior::State& state, Visit&& visit) {
  std::int64_t next = 0;
  batch.for_each_scored_of(row, [&](std::int64_t column, std::size_t place) {
    for (; next <= column; ++next) posterior.read(state, batch.tokens[batch.place(row, next)]);
    visit(place);
  });
}

/// [N] of a place in [B * T]; NaN for an expert without scores.
std::vector<float> scores_at(std::span<const std::span<const float>> scores, std::size_t place) {
  std::vector<float> values;
  for (const std::span<const float> expert : scores)
    values.push_back(expert.empty() ? std::numeric_limits<float>::quiet_NaN() : expert[place]);
  return values;
}

/// Adds exp(logs) / count.
void add_mean(std::span<const double> logs, double count, std::vector<double>& mean) {
  for (std::size_t e = 0; e < mean.size(); ++e) mean[e] += std::exp(logs[e]) / count;
}

/// Mixes a row into `log_probs` [B * T]. Returns the posterior [N] that the release reports: with
/// kLast the weights of the batch's last column, with kFull those after the last target, with kNone
/// their mean over the targets.
std::vector<double> mix_row(const Batch& batch, std::int64_t row,
                            std::span<const std::span<const float>> scores,
                            const Posterior& posterior, bool sparse, std::span<float> log_probs) {
  const auto targets = static_cast<double>(batch.num_scored_of(row));
  const Posterior::State start = posterior.start(
      sparse && targets > 0 ? experts_of_row(posterior, batch, row) : std::vector<bool>());
  std::vector<double> mean(posterior.experts(), 0.0);
  Posterior::State state = start;
  read_row(posterior, batch, row, state, [&](std::size_t place) {
    const std::vector<double> weights = posterior.log_weights(state);
    const std::vector<float> log_p = scores_at(scores, place);
    log_probs[place] = static_cast<float>(posterior.log_prob(state, weights, log_p));
    posterior.observe(state, log_p);
    if (posterior.rule() == PosteriorRule::kNone) add_mean(weights, targets, mean);
  });
  if (posterior.rule() == PosteriorRule::kNone && targets > 0) return mean;
  if (posterior.rule() == PosteriorRule::kLast) {
    const std::int64_t before_last = batch.columns - 2;
    if (targets > 0 && before_last >= batch.first_scored_of(row))
      posterior.observe(state, scores_at(scores, batch.place(row, before_last)));
    else
      state = start;
  }
  std::vector<double> last(posterior.experts(), 0.0);
  add_mean(posterior.log_weights(state), 1, last);
  return last;
}

}  // namespace

std::vector<bool> experts_of_row(const Posterior& posterior, const Batch& batch, std::int64_t row) {
  std::vector<bool> has_weight(posterior.experts(), false);
  Posterior::State state = posterior.start();
  read_row(posterior, batch, row, state, [&](std::size_t) {
    const std::vector<double> logs = posterior.log_prior(state);
    for (std::size_t e = 0; e < logs.size(); ++e)
      if (logs[e] > -std::numeric_limits<double>::infinity()) has_weight[e] = true;
  });
  return has_weight;
}

MixedBatch mix_batch(const Batch& batch, std::span<const std::span<const float>> scores,
                     const Posterior& posterior, bool sparse) {
  MixedBatch mixed{std::vector<float>(batch.size()), std::vector<double>(posterior.experts(), 0.0)};
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    const std::vector<double> last =
        mix_row(batch, row, scores, posterior, sparse, mixed.log_probs);
    for (std::size_t e = 0; e < last.size(); ++e)
      mixed.posterior[e] += last[e] / static_cast<double>(batch.rows);
  }
  return mixed;
}

}  // namespace btm
