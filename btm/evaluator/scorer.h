// Log-probabilities of targets under a model.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "btm/data/batches.h"
#include "btm/evaluator/diverged_model.h"
#include "btm/model/transformer_lm.h"

namespace btm {

class Scorer {
 public:
  virtual ~Scorer() = default;
  /// [B, T] fp32 on the CPU: natural log p(target) of every column from a row's first_scored on
  /// that is not padding, and of scored_padding; 0 elsewhere.
  virtual at::Tensor score(const Batch& batch) = 0;
};

class ModelScorer final : public Scorer {
 public:
  /// `name` is the checkpoint, for errors. The logits of at most `softmax_batch` columns are in
  /// memory at once, often fewer (see Head::target_log_probs).
  ModelScorer(std::string name, std::unique_ptr<TransformerLM> model, at::Device device,
              std::int64_t softmax_batch);
  /// DivergedModel for a score that is NaN or +inf. -inf, for probability 0, is a score.
  at::Tensor score(const Batch& batch) override;
  /// See TransformerLM::set_gating.
  void set_gating(std::shared_ptr<FairseqGating> gating) { model_->set_gating(std::move(gating)); }

 private:
  std::string name_;
  std::unique_ptr<TransformerLM> model_;
  at::Device device_;
  std::int64_t softmax_batch_, scored_ = 0;  ///< scored_: batches so far.
};

/// Log of the mean probability of several scorers, per target: fairseq's ensemble of ':'-joined
/// paths.
class AverageScorer final : public Scorer {
 public:
  explicit AverageScorer(std::vector<std::unique_ptr<Scorer>> scorers);
  at::Tensor score(const Batch& batch) override;

 private:
  std::vector<std::unique_ptr<Scorer>> scorers_;
};

}  // namespace btm
