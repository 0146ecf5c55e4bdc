#include "btm/model/adaptive_softmax.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <map>

#include "btm/model/head.h"

namespace btm {
namespace {

constexpr std::int64_t kVocabulary = 23, kWidth = 8;

TransformerConfig tiny(bool tied, bool tied_projections) {
  TransformerConfig config;
  config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = kWidth;
  config.adaptive_input = true;
  config.adaptive_input_cutoff = config.adaptive_softmax_cutoff = {5, 12};
  config.adaptive_input_factor = config.adaptive_softmax_factor = 2;
  config.tie_adaptive_weights = tied;
  config.tie_adaptive_proj = tied_projections;
  return config;
}

/// Both parts with random parameters, by name.
struct Adaptive {
  explicit Adaptive(const TransformerConfig& config)
      : input(config, kVocabulary), softmax(config, kVocabulary) {
    const ListParameter add = [this](const std::string& name,
                                     const std::vector<std::int64_t>& shape, at::Tensor& tensor) {
      tensor = at::randn(shape);
      parameters[name] = tensor;
    };
    input.list(add);
    softmax.list(add);
  }
  at::Tensor of(const std::string& name) const { return parameters.at("decoder." + name); }
  std::map<std::string, at::Tensor> parameters;
  AdaptiveInput input;
  AdaptiveSoftmax softmax;
};

TEST(AdaptiveInput, GivesEachWordTheProjectedRowOfItsBand) {
  const at::NoGradGuard no_grad;
  const Adaptive both(tiny(false, false));
  const at::Tensor tokens = at::arange(22, -1, -1, at::kLong).view({1, 23});
  const at::Tensor rows = both.input.rows(tokens, -1);
  EXPECT_EQ(rows.sizes(), (at::IntArrayRef{1, 23, kWidth}));
  const std::vector<std::int64_t> first{0, 5, 12};
  for (std::int64_t place = 0; place < 23; ++place) {
    const std::int64_t token = 22 - place, band = token < 5 ? 0 : token < 12 ? 1 : 2;
    const std::string prefix = "embed_tokens.embeddings." + std::to_string(band);
    const at::Tensor row =
        both.of(prefix + ".0.weight")[token - first[static_cast<std::size_t>(band)]];
    EXPECT_TRUE(rows[0][place].allclose(at::linear(row, both.of(prefix + ".1.weight")), 1e-5, 1e-5))
        << token;
  }
}

TEST(AdaptiveSoftmax, GivesADistributionWhoseTailsShareTheirClass) {
  const at::NoGradGuard no_grad;
  for (const auto& [tied, projections] :
       {std::pair{false, false}, std::pair{true, false}, std::pair{true, true}}) {
    const Adaptive both(tiny(tied, projections));
    const AdaptiveSoftmax softmax = both.softmax.tied_to(both.input);
    const at::Tensor x = at::randn({40, kWidth}), all = softmax.log_probs(x);
    EXPECT_TRUE(all.exp().sum(1).allclose(at::ones({40}), 1e-5, 1e-5));
    const at::Tensor head = at::log_softmax(softmax.head_logits(x), -1);
    EXPECT_EQ(head.size(1), 7);
    EXPECT_TRUE(all.narrow(1, 5, 7).logsumexp(1).allclose(head.select(1, 5), 1e-4, 1e-4));
    EXPECT_TRUE(all.narrow(1, 12, 11).logsumexp(1).allclose(head.select(1, 6), 1e-4, 1e-4));
    const std::size_t own = both.parameters.size() - 6;  // the input has six
    EXPECT_EQ(own, tied ? projections ? 1U : 3U : 5U);
    EXPECT_EQ(tied_names(tiny(tied, projections), 3).size(), tied ? projections ? 5U : 3U : 0U);
  }
}

TEST(AdaptiveSoftmax, TheHeadsAnswersAgree) {
  const at::NoGradGuard no_grad;
  const Adaptive both(tiny(true, true));
  const Head head(both.softmax.tied_to(both.input));
  const at::Tensor x = at::randn({46, kWidth});
  const at::Tensor targets = at::cat({at::arange(23, at::kLong), at::arange(23, at::kLong)});
  const at::Tensor all = head.logits(x);
  const at::Tensor expected = all.gather(1, targets.unsqueeze(1)).squeeze(1);
  for (const std::int64_t rows : {1, 7, 100})
    EXPECT_TRUE(head.target_log_probs(x, targets, rows).allclose(expected, 1e-5, 1e-5));
  const std::vector<Head::Target> wanted{{0, 0}, {0, 13}, {3, 22}, {45, 5}};
  const Head::Scores scores = head.scores(x, wanted);
  ASSERT_EQ(scores.logits.size(), wanted.size());
  ASSERT_EQ(scores.log_sums.size(), 46U);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const float value = all[wanted[i].row][wanted[i].token].item<float>();
    EXPECT_NEAR(scores.logits[i] - scores.log_sums[static_cast<std::size_t>(wanted[i].row)], value,
                1e-5);
    EXPECT_NEAR(head.logit(x[wanted[i].row], wanted[i].token), value, 1e-5);
  }
  EXPECT_TRUE(head.scores(x, {}).logits.empty());
}

}  // namespace
}  // namespace btm
