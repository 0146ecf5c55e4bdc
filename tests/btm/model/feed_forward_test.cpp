#include "btm/model/feed_forward.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "btm/model/ids_tensor.h"
#include "tests/support/random_model.h"

namespace btm {
namespace {

constexpr std::int64_t kWidth = 12, kHidden = 20, kExperts = 4;

MixtureFeedForward random_mixture(Routing routing) {
  at::manual_seed(3);
  MixtureFeedForward mixture;
  mixture.routing = routing;
  mixture.gate = at::randn({kExperts, kWidth});
  for (std::int64_t e = 0; e < kExperts; ++e)
    mixture.experts.push_back({{at::randn({kHidden, kWidth}) * 0.3, at::randn({kHidden})},
                               {at::randn({kWidth, kHidden}) * 0.3, at::randn({kWidth})}});
  return mixture;
}

at::Tensor same(const at::Tensor& x) { return x; }

at::Tensor run(const FeedForward& layer, const at::Tensor& x, RoutingRecord* record = nullptr) {
  return feed_forward(layer, x, same, {"gelu", 0, record});
}

/// The formula, a token at a time.
at::Tensor by_hand(const MixtureFeedForward& mixture, const at::Tensor& x) {
  at::Tensor out = at::zeros_like(x);
  for (std::int64_t n = 0; n < x.size(0); ++n) {
    const at::Tensor logits = at::linear(x[n], mixture.gate), p = at::softmax(logits, -1);
    const std::int64_t k = experts_per_token(mixture.routing, kExperts);
    const auto [top, chosen] = at::topk(logits, k);
    const at::Tensor weights =
        mixture.routing == Routing::kTop2 ? at::softmax(top, -1) : p.index_select(0, chosen);
    for (std::int64_t j = 0; j < k; ++j) {
      const DenseFeedForward& expert =
          mixture.experts[static_cast<std::size_t>(chosen[j].item<std::int64_t>())];
      const at::Tensor hidden = at::gelu(at::linear(x[n], expert.fc1.weight, expert.fc1.bias));
      out[n] += weights[j] * at::linear(hidden, expert.fc2.weight, expert.fc2.bias);
    }
  }
  return out;
}

TEST(MixtureFeedForward, IsItsFormula) {
  for (const Routing routing : {Routing::kTop1, Routing::kTop2, Routing::kSoft}) {
    const MixtureFeedForward mixture = random_mixture(routing);
    const at::Tensor x = at::randn({37, kWidth});
    // fp32 sums of 20 terms in another order
    EXPECT_LT((run(mixture, x) - by_hand(mixture, x)).abs().max().item<double>(), 1e-5)
        << routing_name(routing);
  }
}

TEST(MixtureFeedForward, ARowHasTheSameBitsWhateverIsBesideIt) {
  const at::NoGradGuard no_grad;
  for (const bool packed : {false, true}) {
    MixtureFeedForward mixture = random_mixture(Routing::kTop2);
    if (packed)
      for (DenseFeedForward& expert : mixture.experts)
        for (Linear* const linear : {&expert.fc1, &expert.fc2}) {
          linear->packed = std::make_shared<const PackedMatrix>(linear->weight, Products::kBf16x3);
          linear->weight.reset();
        }
    const std::int64_t count = packed && has_fast_bf16() ? 300 : 16;
    const at::Tensor x = at::randn({count, kWidth}), all = run(mixture, x);
    for (const std::int64_t row : {std::int64_t{0}, std::int64_t{7}, count - 1})
      EXPECT_TRUE(run(mixture, x.narrow(0, row, 1)).equal(all.narrow(0, row, 1))) << row;
  }
}

TEST(MixtureFeedForward, RecordsLoadsAndLossesOfTheTokensThatCount) {
  const MixtureFeedForward mixture = random_mixture(Routing::kTop2);
  const at::Tensor x = at::randn({10, kWidth});
  const std::vector<std::int64_t> kept{0, 2, 3, 5, 9};
  RoutingRecord record;
  record.places = ids_tensor(kept).clone();
  run(mixture, x, &record);
  EXPECT_EQ(record.tokens, 5);
  const at::Tensor logits = at::linear(x.index_select(0, ids_tensor(kept)), mixture.gate);
  const at::Tensor p = at::softmax(logits, -1);
  std::vector<double> loads(kExperts);
  const at::Tensor chosen = std::get<1>(at::topk(logits, 2));
  double balance = 0;
  for (std::int64_t n = 0; n < 5; ++n)
    for (std::int64_t j = 0; j < 2; ++j)
      ++loads[static_cast<std::size_t>(chosen[n][j].item<std::int64_t>())];
  for (std::int64_t e = 0; e < kExperts; ++e) {
    EXPECT_EQ(record.loads[e].item<double>(), loads[static_cast<std::size_t>(e)]);
    balance +=
        kExperts * loads[static_cast<std::size_t>(e)] / 10 * p.select(1, e).mean().item<double>();
  }
  EXPECT_NEAR(record.balance.item<double>(), balance, 1e-6);
  EXPECT_NEAR(record.z.item<double>(), at::logsumexp(logits, {-1}).square().mean().item<double>(),
              1e-5);
}

TEST(MixtureFeedForward, OneExpertIsADenseBlock) {
  MixtureFeedForward mixture = random_mixture(Routing::kTop2);
  mixture.experts.resize(1);
  mixture.gate = mixture.gate.narrow(0, 0, 1);
  const at::Tensor x = at::randn({9, kWidth});
  EXPECT_TRUE(run(mixture, x).equal(run(mixture.experts.front(), x)));
}

TEST(TransformerLM, AMixtureWhoseRouterAlwaysPicksAnExpertIsThatExpert) {
  TransformerConfig dense = btm_test::small_config();
  TransformerConfig config = dense;
  config.moe_freq = 1;
  config.moe_expert_count = 3;
  const std::vector<std::int64_t> text{2, 5, 6, 7, 8, 9, 10, 44};
  for (const Routing routing : {Routing::kTop1, Routing::kTop2, Routing::kSoft}) {
    config.routing = routing;
    const auto mixture = btm_test::random_model(config), expert = btm_test::random_model(dense, 8);
    for (const NamedParameter& from : expert->parameters())
      for (const NamedParameter& to : mixture->parameters()) {
        const std::size_t at = from.name.find(".fc");
        const std::string name =
            at == std::string::npos
                ? from.name
                : from.name.substr(0, at) + ".moe_layer.experts.1" + from.name.substr(at);
        if (to.name == name) *to.tensor = *from.tensor;
        // The input of the router has a bias, that of its layer norm, by which an expert is picked.
        if (to.name == from.name && from.name.ends_with("final_layer_norm.bias")) {
          *from.tensor = from.tensor->clone().fill_(1);
          *to.tensor = *from.tensor;
        }
      }
    for (const NamedParameter& to : mixture->parameters())
      if (to.name.ends_with("gate.wg.weight")) to.tensor->zero_()[1].fill_(100);
    const at::NoGradGuard no_grad;
    const at::Tensor tokens = ids_tensor(text).unsqueeze(0);
    // exact: the other experts' weights are zeros, and products of 8 rows are computed row by row
    EXPECT_TRUE(mixture->features(tokens).equal(expert->features(tokens))) << routing_name(routing);
  }
}

}  // namespace
}  // namespace btm
