#include "btm/trainer/cross_entropy.h"

#include <ATen/Context.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

namespace btm {
namespace {

/// Loss and gradients from autograd, with all logits at once.
struct Reference {
  at::Tensor features, weight, targets;
  double loss;
  explicit Reference(std::int64_t tokens, std::int64_t vocabulary,
                     at::DeviceType device = at::kCPU) {
    at::manual_seed(3);
    features = at::randn({tokens, 24}, device).set_requires_grad(true);
    weight = (at::randn({vocabulary, 24}, device) * 0.3).detach().set_requires_grad(true);
    targets =
        at::randint(vocabulary, {tokens}, at::TensorOptions().dtype(at::kLong).device(device));
    const at::Tensor sum =
        at::cross_entropy_loss(at::linear(features, weight), targets, {}, at::Reduction::Sum);
    sum.backward();
    loss = sum.item<double>();
  }
};

TEST(CrossEntropy, EqualsAutogradInSlices) {
  // 17 M logits: more than fit one slice of 64 MiB.
  const Reference reference(340, 50'000);
  EXPECT_NEAR(cross_entropy(reference.features, {reference.weight, {}}, reference.targets),
              reference.loss, 1e-6 * reference.loss);
  at::Tensor weight_gradient = at::zeros_like(reference.weight).detach();
  const auto result =
      cross_entropy_backward(reference.features.detach(), {reference.weight.detach(), {}},
                             reference.targets, 1, weight_gradient);
  EXPECT_NEAR(result.loss.item<double>(), reference.loss, 1e-6 * reference.loss);
  // fp32 sums of 50,000 terms in another order
  EXPECT_LT((result.features - reference.features.grad()).abs().max().item<double>(), 1e-5);
  EXPECT_LT((weight_gradient - reference.weight.grad()).abs().max().item<double>(), 1e-5);
}

/// fairseq's formula, in autograd.
TEST(CrossEntropy, SmoothsLabelsAsFairseqDoes) {
  const Reference reference(340, 50);
  constexpr double kSmoothing = 0.2, kScale = 3;
  const at::Tensor features = reference.features.detach().set_requires_grad(true),
                   weight = reference.weight.detach().set_requires_grad(true);
  const at::Tensor log_probs = at::log_softmax(at::linear(features, weight), -1);
  const at::Tensor nll = -log_probs.gather(1, reference.targets.unsqueeze(1)).sum();
  const at::Tensor loss =
      nll * (1 - kSmoothing - kSmoothing / 49) - log_probs.sum() * (kSmoothing / 49);
  (loss * kScale).backward();
  at::Tensor weight_gradient = at::zeros_like(weight).detach();
  const auto result =
      cross_entropy_backward(features.detach(), {weight.detach(), {}}, reference.targets, kScale,
                             weight_gradient, kSmoothing);
  EXPECT_NEAR(result.loss.item<double>(), loss.item<double>(), 1e-5 * loss.item<double>());
  EXPECT_NEAR(result.nll.item<double>(), reference.loss, 1e-5 * reference.loss);
  EXPECT_LT((result.features - features.grad()).abs().max().item<double>(), 1e-5);
  EXPECT_LT((weight_gradient - weight.grad()).abs().max().item<double>(), 1e-4);
  const LossSums sums = smoothed_cross_entropy(features.detach(), {weight.detach(), {}},
                                               reference.targets, kSmoothing);
  EXPECT_NEAR(sums.loss, loss.item<double>(), 1e-5 * loss.item<double>());
  EXPECT_NEAR(sums.nll, reference.loss, 1e-5 * reference.loss);
}

/// Compares with autograd on a GPU, with more than one slice of 512 MiB. In half precision up to
/// the rounding of logits.
TEST(CrossEntropy, EqualsAutogradOnAGpuInAnyPrecision) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no GPU";
  const Reference reference(3000, 50'000, at::kCUDA);
  for (const auto& [dtype, tolerance] :
       {std::pair{at::kFloat, 1e-5}, {at::kHalf, 2e-3}, {at::kBFloat16, 2e-2}}) {
    const at::Tensor features = reference.features.detach().to(dtype),
                     weight = reference.weight.detach().to(dtype);
    EXPECT_NEAR(cross_entropy(features, {weight, {}}, reference.targets), reference.loss,
                tolerance * reference.loss)
        << dtype;
    at::Tensor weight_gradient = at::zeros_like(weight);
    const auto result =
        cross_entropy_backward(features, {weight, {}}, reference.targets, 1, weight_gradient);
    EXPECT_NEAR(result.loss.item<double>(), reference.loss, tolerance * reference.loss) << dtype;
    const auto relative_error = [](const at::Tensor& mine, const at::Tensor& theirs) {
      return ((mine.to(at::kFloat) - theirs).norm() / theirs.norm()).item<double>();
    };
    EXPECT_LT(relative_error(result.features, reference.features.grad()), tolerance) << dtype;
    EXPECT_LT(relative_error(weight_gradient, reference.weight.grad()), tolerance) << dtype;
  }
}

/// Three slices of tokens; neither they nor the words fill blocks. Against fp32 products of rounded
/// factors, the gradient of the logits among them.
TEST(CrossEntropy, RoundsTheFactorsOfItsProductsInBf16) {
  if (!has_fast_bf16()) GTEST_SKIP() << "this processor has no products in bf16";
  const Reference reference(701, 50'001);
  const auto rounded = [](const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); };
  const at::Tensor features = rounded(reference.features.detach()),
                   weight = rounded(reference.weight.detach());
  const at::Tensor scores = at::log_softmax(at::linear(features, weight), -1),
                   target = reference.targets.unsqueeze(1);
  const double loss = -scores.gather(1, target).sum(at::kDouble).item<double>();
  at::Tensor of_logits = scores.exp() * 2;
  of_logits.scatter_add_(1, target, at::full({701, 1}, -2.0F));
  const Linear output{reference.weight.detach(), {}, {}, Products::kBf16};
  EXPECT_NEAR(cross_entropy(reference.features, output, reference.targets), loss, 1e-6 * loss);
  at::Tensor weight_gradient = at::ones_like(reference.weight).detach();
  const auto result = cross_entropy_backward(reference.features.detach(), output, reference.targets,
                                             2, weight_gradient);
  EXPECT_NEAR(result.loss.item<double>(), loss, 1e-6 * loss);
  // A gradient of the logits that lies between two bf16 may be rounded to either: 2^-9 of the few.
  const auto error = [](const at::Tensor& mine, const at::Tensor& expected) {
    return ((mine - expected).norm() / expected.norm()).item<double>();
  };
  EXPECT_LT(error(result.features, at::mm(rounded(of_logits), weight)), 2e-5);
  EXPECT_LT(error(weight_gradient - 1, at::mm(rounded(of_logits).t(), features)), 2e-5);
}

TEST(CrossEntropy, ScalesGradientsNotTheLossAndAddsUp) {
  const Reference reference(40, 60);
  at::Tensor once = at::zeros_like(reference.weight).detach(),
             scaled = at::zeros_like(reference.weight).detach();
  const at::Tensor features = reference.features.detach(), weight = reference.weight.detach();
  const auto plain = cross_entropy_backward(features, {weight, {}}, reference.targets, 1, once);
  cross_entropy_backward(features, {weight, {}}, reference.targets, 4, scaled);
  const auto result = cross_entropy_backward(features, {weight, {}}, reference.targets, 4, scaled);
  EXPECT_TRUE(result.loss.equal(plain.loss));
  EXPECT_TRUE(result.features.allclose(plain.features * 4, 1e-6, 1e-7));
  EXPECT_TRUE(scaled.allclose(once * 8, 1e-5, 1e-6));
}

}  // namespace
}  // namespace btm
