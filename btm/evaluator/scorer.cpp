#include "btm/evaluator/scorer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "btm/model/ids_tensor.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

/// Flat places [B * T] of the columns that are scored: ascending, but for the padding at the end.
std::vector<std::int64_t> scored_places(const Batch& batch) {
  std::vector<std::int64_t> places;
  batch.for_each_scored(
      [&](std::int64_t, std::size_t at) { places.push_back(static_cast<std::int64_t>(at)); });
  places.insert(places.end(), batch.scored_padding.begin(), batch.scored_padding.end());
  return places;
}

/// Throws DivergedModel for the first of `places` whose score is no log-probability.
void check_scores(const std::string& model, const Batch& batch,
                  const std::vector<std::int64_t>& places, const float* scores) {
  const auto broken = std::ranges::find_if(
      places, [&](std::int64_t at) { return std::isnan(scores[at]) || scores[at] == HUGE_VALF; });
  if (broken == places.end()) return;
  const std::int64_t row = *broken / batch.columns;
  throw DivergedModel(
      model, compat::concat("target ", *broken % batch.columns - batch.first_scored_of(row) + 1,
                            " of sample ", batch.id_of(row), " (id ",
                            batch.targets[static_cast<std::size_t>(*broken)], ')'));
}

}  // namespace

DivergedModel::DivergedModel(std::string model, const std::string& target)
    : std::runtime_error(compat::printable(model, 4096) +
                         ": gives no probability (NaN or infinite) for " + target +
                         ": its training diverged, or its weights are damaged"),
      model_(std::move(model)),
      target_(target) {}

ModelScorer::ModelScorer(std::string name, std::unique_ptr<TransformerLM> model, at::Device device,
                         std::int64_t softmax_batch)
    : name_(std::move(name)),
      model_(std::move(model)),
      device_(device),
      softmax_batch_(softmax_batch) {}

at::Tensor ModelScorer::score(const Batch& batch) {
  const at::NoGradGuard no_grad;
  at::Tensor scores = at::zeros({batch.rows, batch.columns}, at::kFloat);
  const std::vector<std::int64_t> places = scored_places(batch);
  if (places.empty()) return scores;
  // A model that scores a single batch needs no fp32 copy of its weights.
  if (++scored_ == 2) model_->convert_to_fp32();
  const at::Tensor tokens = ids_tensor(batch.tokens).view({batch.rows, batch.columns}).to(device_);
  // The score of a padding column depends on the columns it attends to, and so does its place
  // among an expert's tokens. Padding is masked as in fairseq.
  const bool masks_padding = !batch.scored_padding.empty() || has_interior_padding(batch) ||
                             (model_->gates_by_batch() &&
                              std::ranges::find(batch.tokens, batch.pad) != batch.tokens.end());
  const at::Tensor features = model_->features(tokens, masks_padding);
  const at::Tensor where = ids_tensor(places);  // [N] of B * T
  const bool all = batch.scored_padding.empty() &&
                   static_cast<std::int64_t>(places.size()) == batch.rows * batch.columns;
  at::Tensor rows = features.reshape({-1, features.size(-1)});
  if (!all) rows = rows.index_select(0, where.to(device_));  // [N, decoder_output_dim]
  const at::Tensor targets = ids_tensor(batch.targets).index_select(0, where).to(device_);
  scores.view(-1).index_copy_(
      0, where, model_->head().target_log_probs(rows, targets, softmax_batch_).to(at::kCPU));
  check_scores(name_, batch, places, scores.const_data_ptr<float>());
  return scores;
}

AverageScorer::AverageScorer(std::vector<std::unique_ptr<Scorer>> scorers)
    : scorers_(std::move(scorers)) {}

at::Tensor AverageScorer::score(const Batch& batch) {
  if (scorers_.size() == 1) return scorers_.front()->score(batch);
  std::vector<at::Tensor> scores;
  for (const auto& scorer : scorers_) scores.push_back(scorer->score(batch));
  return at::logsumexp(at::stack(scores), 0) - std::log(static_cast<double>(scorers_.size()));
}

}  // namespace btm
