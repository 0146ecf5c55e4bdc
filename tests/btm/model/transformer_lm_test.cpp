#include "btm/model/transformer_lm.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "btm/model/gathered_attention.h"
#include "btm/model/ids_tensor.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/random_model.h"

namespace btm {
namespace {

using btm_test::random_model;
using btm_test::small_config;
using Row = KeyValuePool::Row;
constexpr std::int64_t kVocabulary = 90;

TransformerConfig config_of(bool learned, bool before) {
  TransformerConfig config = small_config();
  config.decoder_learned_pos = learned;
  config.decoder_normalize_before = before;
  return config;
}

at::Tensor whole(const TransformerLM& model, const std::vector<std::int64_t>& tokens) {
  const at::NoGradGuard no_grad;
  return model.features(ids_tensor(tokens).unsqueeze(0)).squeeze(0);
}

/// Texts that grow, fork, lose their ends and leave, each beside its own pass over the whole.
class Texts {
 public:
  Texts(const TransformerLM& model, unsigned seed)
      : Texts(model, seed, KeyValuePool(model.pool_shape(2000))) {}
  Texts(const TransformerLM& model, unsigned seed, KeyValuePool pool)
      : model_(model), random_(seed), pool_(std::move(pool)) {}

  /// One step with every row that chance picks.
  void advance(bool same_bits) {
    change();
    NewTokens step;
    for (auto& [row, tokens] : texts_) {
      const int count = std::min(pick(8), 80 - static_cast<int>(tokens.size()));
      if (count == 0 || !pool_.extend(row, count)) continue;
      step.rows.push_back(row);
      step.counts.push_back(count);
      for (int i = 0; i < count; ++i) {
        tokens.push_back(4 + pick(kVocabulary - 4));
        step.tokens.push_back(tokens.back());
      }
    }
    if (step.rows.empty()) return;
    check(step, model_.advance(step, pool_), same_bits);
  }

 private:
  int pick(int count) { return std::uniform_int_distribution(0, count - 1)(random_); }

  void change() {
    if (texts_.size() < 3 || (texts_.size() < 9 && pick(3) == 0))
      texts_.emplace(pool_.open(0).value(), std::vector<std::int64_t>());
    const auto chosen = std::next(texts_.begin(), pick(static_cast<int>(texts_.size())));
    const int kind = pick(6);
    if (kind == 0) {
      const auto tokens = chosen->second;
      texts_.emplace(pool_.fork(chosen->first), tokens);
    } else if (kind == 1) {
      chosen->second.resize(
          static_cast<std::size_t>(pick(static_cast<int>(chosen->second.size()) + 1)));
      pool_.truncate(chosen->first, static_cast<std::int64_t>(chosen->second.size()));
    } else if (kind == 2) {
      pool_.close(chosen->first);
      texts_.erase(chosen);
    }
  }

  void check(const NewTokens& step, const at::Tensor& features, bool same_bits) {
    std::int64_t from = 0;
    for (std::size_t i = 0; i < step.rows.size(); ++i) {
      const std::vector<std::int64_t>& tokens = texts_.at(step.rows[i]);
      const std::int64_t count = step.counts[i],
                         first = static_cast<std::int64_t>(tokens.size()) - count;
      const at::Tensor ours = features.narrow(0, from, count);
      from += count;
      const at::Tensor expected = whole(model_, tokens).narrow(0, first, count);
      // fp32 sums in another order; on the packed path they may also be rounded to other bf16
      ASSERT_LT((ours - expected).abs().max().item<double>(), same_bits ? 1e-4 : 1e-5);
      if (!same_bits) continue;
      // alone, in one step from nothing
      const Row alone = pool_.open(0).value();
      ASSERT_TRUE(pool_.extend(alone, static_cast<std::int64_t>(tokens.size())));
      const at::Tensor again =
          model_.advance({{alone}, {static_cast<std::int64_t>(tokens.size())}, tokens}, pool_);
      ASSERT_TRUE(again.narrow(0, first, count).equal(ours)) << "the neighbours matter";
      pool_.close(alone);
    }
  }

  const TransformerLM& model_;
  std::mt19937 random_;
  KeyValuePool pool_;
  std::map<Row, std::vector<std::int64_t>> texts_;
};

TEST(TransformerLM, AdvancesAsOverTheWholeHoweverItIsCut) {
  // fp32 sums in another order: 1e-5 of features of about 1
  for (const bool learned : {true, false})
    for (const bool before : {true, false}) {
      const auto model = random_model(config_of(learned, before));
      Texts texts(*model, 11);
      for (int i = 0; i < 75; ++i) {
        texts.advance(/*same_bits=*/false);
        if (HasFatalFailure()) return;
      }
    }
}

TEST(TransformerLM, AdvancesOverGatheredBlocksAsOnAGpu) {
  const auto model = random_model(config_of(true, true));
  const KeyValuePool::Shape shape = model->pool_shape(2000);
  Texts texts(*model, 13,
              KeyValuePool(shape, std::make_unique<TensorBlocks>(shape, at::TensorOptions())));
  for (int i = 0; i < 75; ++i) {
    texts.advance(/*same_bits=*/false);
    if (HasFatalFailure()) return;
  }
}

TEST(TransformerLM, AdvancesWithTheSameBitsWhateverIsBesideOnThePackedPath) {
  if (!has_fast_bf16()) GTEST_SKIP() << "this processor multiplies in fp32";
  const auto model = random_model(config_of(true, true));
  model->pack(Products::kBf16x3);
  Texts texts(*model, 12);
  for (int i = 0; i < 75; ++i) {
    texts.advance(/*same_bits=*/true);
    if (HasFatalFailure()) return;
  }
}

TEST(TransformerLM, RefusesAStepThatDoesNotFitThePool) {
  const auto model = random_model(config_of(true, true));
  KeyValuePool pool(model->pool_shape(200));
  const Row row = pool.open(0).value();
  ASSERT_TRUE(pool.extend(row, 2));
  EXPECT_THROW(model->advance({{row}, {3}, {4, 5, 6}}, pool), std::invalid_argument);
  EXPECT_THROW(model->advance({{row}, {2}, {4}}, pool), std::invalid_argument);
  EXPECT_THROW(model->advance({{row}, {2}, {4, TransformerLM::kPaddingIdx}}, pool),
               std::invalid_argument);
  EXPECT_THROW(model->advance({{row, row + 1}, {2}, {4, 5}}, pool), std::invalid_argument);
  EXPECT_EQ(model->advance({{row}, {2}, {4, 5}}, pool).size(0), 2);
  ASSERT_TRUE(pool.extend(row, 79));
  btm_test::expect_error<compat::UnsupportedError>(
      [&] {
        model->advance({{row}, {79}, std::vector<std::int64_t>(79, 4)}, pool);
      },
      "a sample of 81 tokens, the model has 80 positions");
}

}  // namespace
}  // namespace btm
