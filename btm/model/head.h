// The output layer and its softmax: scores of targets, or all logits. Every walk over the
// vocabulary stands here. N tokens, C decoder_output_dim, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "btm/model/adaptive_softmax.h"
#include "btm/model/recomputed_linear.h"

namespace btm {

class Head {
 public:
  /// A token whose logit is wanted at a row of the features.
  struct Target {
    std::int64_t row = 0, token = 0;
  };
  struct Scores {
    std::vector<double> log_sums;  ///< [N] log sum exp of the logits of a row.
    std::vector<float> logits;     ///< Of every target.
  };

  /// `output`: the matrix [V, C], packed or not, without a bias; products are the layer's. On the
  /// CPU it may be in half precision.
  explicit Head(Linear output) : output_(std::move(output)) {}
  /// An adaptive softmax. Its logits are log-probabilities, so that the log of their sum is 0.
  explicit Head(AdaptiveSoftmax softmax)
      : adaptive_(std::make_shared<const AdaptiveSoftmax>(std::move(softmax))) {}

  /// Natural log softmax(features weight^T)[target]. features [N, C] of the matrix's dtype and
  /// device (fp32 on the CPU), targets [N] int64 in [0, V) there -> [N] fp32 there. Logits of at
  /// most `rows_at_once` tokens and at most tokens_of_logits() are in memory at once; on the CPU
  /// not even those of the whole vocabulary.
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets,
                              std::int64_t rows_at_once) const;

  /// The same for any number of targets, in ascending order of their rows. Features are on the CPU
  /// in fp32, here and below, and so are results: where the matrix is on a GPU they move.
  Scores scores(const at::Tensor& features, std::span<const Target> targets) const;
  /// [N, C] -> [N, V].
  at::Tensor logits(const at::Tensor& features) const;
  /// The logit of one token at one row, [C].
  float logit(const at::Tensor& row, std::int64_t token) const;

 private:
  Scores adaptive_scores(const at::Tensor& features, std::span<const Target> targets) const;
  at::Device device() const;
  bool on_cpu() const { return device().is_cpu(); }

  Linear output_;
  std::shared_ptr<const AdaptiveSoftmax> adaptive_;  ///< null: a matrix
};

/// Head::scores() of a matrix [V, C] that LibTorch multiplies where it is: `rows_at_once` tokens at
/// once.
Head::Scores scores_of_matrix(const at::Tensor& weight, const at::Tensor& features,
                              std::span<const Head::Target> targets, std::int64_t rows_at_once);

/// The number of tokens whose fp32 logits are made at once, at least one: at most 64 MiB of logits
/// on the CPU, where half as many slow training by a tenth, and 512 MiB on a GPU, which needs large
/// products.
std::int64_t tokens_of_logits(std::int64_t vocabulary, at::Device device);

}  // namespace btm
