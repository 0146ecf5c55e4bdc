#include "btm/trainer/adaptive_loss.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "btm/model/head.h"
#include "btm/model/transformer_lm.h"

namespace btm {
namespace {

/// The sum of -log softmax(logits)[target], [] fp64.
at::Tensor summed_loss(const at::Tensor& logits, const at::Tensor& targets) {
  return -at::log_softmax(logits, -1, at::kFloat).gather(1, targets.unsqueeze(1)).sum(at::kDouble);
}

/// The loss of a slice of tokens, [] fp64, with its graph where gradients are on.
at::Tensor loss_of_slice(const at::Tensor& features, const AdaptiveSoftmax& softmax,
                         const at::Tensor& targets, double dropout) {
  const at::Tensor x = dropout > 0 ? at::dropout(features, dropout, /*train=*/true) : features;
  const auto& bands = softmax.bands();
  at::Tensor in_head = targets;
  at::Tensor loss = at::zeros({}, features.options().dtype(at::kDouble));
  for (std::size_t tail = 0; tail < softmax.num_tails(); ++tail) {
    const VocabularyBand& band = bands[tail + 1];
    const at::Tensor inside = targets.ge(band.first).logical_and(targets.lt(band.end));
    in_head = at::where(inside, bands[0].end + static_cast<std::int64_t>(tail), in_head);
    const at::Tensor counted =
        inside.logical_and(targets.ne(band.first + TransformerLM::kPaddingIdx));
    const at::Tensor rows = counted.nonzero().squeeze(1);
    if (rows.numel() == 0) continue;
    loss = loss + summed_loss(softmax.tail_logits(tail, x.index_select(0, rows), dropout),
                              targets.index_select(0, rows) - band.first);
  }
  return loss + summed_loss(softmax.head_logits(x), in_head);
}

/// Calls `each` with [from, rows) of every slice whose logits fit memory.
template <class F>
void by_slices(const at::Tensor& features, const AdaptiveSoftmax& softmax, F&& each) {
  // Most tokens need the head alone, and few the widest tail.
  const std::int64_t count = features.size(0),
                     slice = 4 * tokens_of_logits(softmax.vocabulary(), features.device());
  for (std::int64_t from = 0; from < count; from += slice)
    each(from, std::min(slice, count - from));
}

}  // namespace

double adaptive_loss(const at::Tensor& features, const AdaptiveSoftmax& softmax,
                     const at::Tensor& targets) {
  const at::NoGradGuard no_grad;
  double loss = 0;
  by_slices(features, softmax, [&](std::int64_t from, std::int64_t rows) {
    loss += loss_of_slice(features.narrow(0, from, rows), softmax, targets.narrow(0, from, rows), 0)
                .item<double>();
  });
  return loss;
}

CrossEntropyGradient adaptive_loss_backward(const at::Tensor& features,
                                            const AdaptiveSoftmax& softmax,
                                            const at::Tensor& targets, double scale,
                                            double dropout) {
  CrossEntropyGradient result;
  result.features = at::empty_like(features);
  result.loss = at::zeros({}, features.options().dtype(at::kDouble));
  by_slices(features, softmax, [&](std::int64_t from, std::int64_t rows) {
    const at::AutoGradMode grad(true);
    const at::Tensor leaf = features.narrow(0, from, rows).detach().set_requires_grad(true);
    const at::Tensor loss = loss_of_slice(leaf, softmax, targets.narrow(0, from, rows), dropout);
    (loss * scale).backward();
    const at::NoGradGuard no_grad;
    result.loss += loss.detach();
    result.features.narrow(0, from, rows).copy_(leaf.grad());
  });
  result.nll = result.loss;
  return result;
}

}  // namespace btm
