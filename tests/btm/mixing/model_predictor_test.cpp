#include "btm/mixing/model_predictor.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>

#include "btm/model/ids_tensor.h"
#include "btm/model/transformer_lm.h"
#include "tests/support/expect_error.h"
#include "tests/support/random_model.h"

namespace btm {
namespace {

using btm_test::expect_error;
using Row = Predictor::Row;
using Text = std::vector<std::int64_t>;
using Models = std::vector<std::shared_ptr<const TransformerLM>>;

constexpr std::int64_t kVocabulary = 90, kPositions = 24;
constexpr double kTolerance = 2e-5;  // sums of fp32 logits of about 5 in another order
constexpr std::array kRules{PosteriorRule::kLast, PosteriorRule::kFull, PosteriorRule::kNone};

Models random_models(std::size_t count, Products products = Products::kFp32) {
  Models models;
  for (std::size_t e = 0; e < count; ++e) {
    auto model = btm_test::random_model(btm_test::small_config(kPositions), 20 + e, kVocabulary);
    if (products != Products::kFp32) model->pack(products);
    models.push_back(std::move(model));
  }
  return models;
}

std::unique_ptr<Predictor> predictor_of(const Models& models, Posterior posterior,
                                        std::int64_t capacity = 4000) {
  std::vector<NamedExpert> experts;
  for (std::size_t e = 0; e < models.size(); ++e)
    experts.push_back({"expert-" + std::to_string(e), models[e]});
  return make_predictor(std::move(experts), std::move(posterior), capacity);
}

/// A prior that depends on the text: only the expert that the last token picks takes part.
class LastTokenPrior final : public TextPrior {
 public:
  explicit LastTokenPrior(std::size_t experts) : experts_(experts) {}
  std::size_t experts() const override { return experts_; }
  std::unique_ptr<Reader> open() const override { return std::make_unique<OfText>(experts_); }

 private:
  class OfText final : public Reader {
   public:
    explicit OfText(std::size_t experts) : experts_(experts) {}
    std::unique_ptr<Reader> clone() const override { return std::make_unique<OfText>(*this); }
    void read(std::int64_t token) override { last_ = token; }
    std::vector<double> log_prior() const override {
      std::vector<double> weights(experts_, 0.0);
      weights[static_cast<std::size_t>(last_) % experts_] = 1;
      return log_of(weights);
    }

   private:
    std::size_t experts_;
    std::int64_t last_ = 0;
  };
  std::size_t experts_;
};

/// The logits [V] for the token after text[place], computed over its window alone. Cached.
const at::Tensor& logits_at(const Models::value_type& model, const Text& text, std::int64_t place) {
  static std::map<std::pair<Models::value_type, Text>, at::Tensor> cache;
  Text before(text.begin(), text.begin() + place + 1);
  const auto [found, added] = cache.try_emplace({model, before});
  if (!added) return found->second;
  const at::NoGradGuard no_grad;
  std::int64_t start = 0;
  while (place - start >= kPositions) start += kPositions - kPositions / 2;
  const Text window(before.begin() + start, before.end());
  const at::Tensor features =
      model->features(ids_tensor(window).unsqueeze(0)).select(1, place - start);
  return found->second = model->head().logits(features).squeeze(0);
}

std::vector<float> distribution_of(const Models::value_type& model, const Text& text,
                                   std::int64_t place, double temperature = 1) {
  const at::Tensor logs =
      at::log_softmax(logits_at(model, text, place) / temperature, -1, at::kFloat);
  const float* const from = logs.const_data_ptr<float>();
  return {from, from + logs.numel()};
}

/// What the mixture says about the token after text[place], from nothing.
class Reference {
 public:
  Reference(const Models& models, const Posterior& posterior, const Text& text, std::int64_t place)
      : models_(models),
        text_(text),
        place_(place),
        state_(posterior.start()),
        posterior_(posterior) {
    for (std::int64_t i = 0; i <= place; ++i) {
      if (i > 0) posterior.observe(state_, scores_at(i - 1, token(i)));
      posterior.read(state_, token(i));
    }
    for (const double value : posterior.log_weights(state_)) weights.push_back(std::exp(value));
  }

  double log_prob(std::int64_t target) {
    if (is_product()) return distribution(1)[static_cast<std::size_t>(target)];
    return posterior_.log_prob(state_, scores_at(place_, target));
  }

  /// With `weights` at a temperature.
  std::vector<double> distribution(double temperature) {
    std::vector<double> sum(kVocabulary, 0.0);
    for (std::size_t e = 0; e < models_.size(); ++e) {
      const std::vector<float> logs = distribution_of(models_[e], text_, place_, temperature);
      for (std::size_t v = 0; v < sum.size(); ++v)
        sum[v] += weights[e] * (is_product() ? logs[v] : std::exp(logs[v]));
    }
    if (is_product()) {
      const double total = log_sum_exp(sum);
      for (double& value : sum) value -= total;
      return sum;
    }
    for (double& value : sum) value = std::log(value);
    return sum;
  }

  std::vector<double> weights;

 private:
  bool is_product() const {
    return models_.size() > 1 && posterior_.combination() == Combination::kProduct;
  }
  std::int64_t token(std::int64_t i) const { return text_[static_cast<std::size_t>(i)]; }
  std::vector<float> scores_at(std::int64_t place, std::int64_t target) const {
    std::vector<float> scores;
    for (const auto& model : models_)
      scores.push_back(distribution_of(model, text_, place)[static_cast<std::size_t>(target)]);
    return scores;
  }

  const Models& models_;
  const Text& text_;
  std::int64_t place_;
  Posterior::State state_;
  const Posterior& posterior_;
};

void expect_near(const std::vector<double>& found, const std::vector<double>& expected,
                 double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], tolerance) << i;
}

/// Compares a readout with the reference.
void check(const Readout& readout, const Want& want, const Models& models,
           const Posterior& posterior, const Text& text, std::int64_t place) {
  if (want.nothing()) return;
  std::vector<double> expected, weights(models.size(), 0.0);
  double log_prob = 0;
  if (want.expert) {
    const auto logs = distribution_of(models[*want.expert], text, place, want.temperature);
    expected.assign(logs.begin(), logs.end());
    weights[*want.expert] = 1;
    if (want.target)
      log_prob = distribution_of(models[*want.expert], text,
                                 place)[static_cast<std::size_t>(*want.target)];
  } else {
    Reference reference(models, posterior, text, place);
    weights = reference.weights;
    expected = reference.distribution(want.temperature);
    if (want.target) log_prob = reference.log_prob(*want.target);
  }
  expect_near(readout.weights, weights, kTolerance);
  if (want.target) {
    ASSERT_NEAR(readout.log_prob, log_prob, kTolerance);
  }
  ASSERT_EQ(std::ssize(readout.top), std::min(want.top, kVocabulary));
  for (std::size_t i = 0; i < readout.top.size(); ++i) {
    const TopToken& token = readout.top[i];
    ASSERT_NEAR(token.log_prob, expected[static_cast<std::size_t>(token.token)], kTolerance);
    if (i == 0) continue;
    const TopToken& before = readout.top[i - 1];
    ASSERT_TRUE(before.log_prob > token.log_prob ||
                (before.log_prob == token.log_prob && before.token < token.token));
  }
  if (want.distribution)
    expect_near({readout.distribution.begin(), readout.distribution.end()}, expected, kTolerance);
}

/// Texts that grow by chance, join, fork and leave, each compared with the reference.
class Texts {
 public:
  Texts(const Models& models, const Posterior& posterior, unsigned seed)
      : models_(models),
        posterior_(posterior),
        predictor_(predictor_of(models, posterior)),
        random_(seed) {}

  void step() {
    change();
    Predictor::Step step;
    std::vector<std::int64_t> firsts;
    for (auto& [row, text] : texts_) {
      const int count = pick(7);
      if (count == 0) continue;
      step.rows.push_back(row);
      step.counts.push_back(count);
      firsts.push_back(std::ssize(text));
      for (int i = 0; i < count; ++i) {
        text.push_back(text.empty() ? 2 : 4 + pick(kVocabulary - 4));
        step.tokens.push_back(text.back());
      }
      for (int i = 0; i < count; ++i)
        step.wants.push_back(some_want(
            i + 1 < count ? text[text.size() - static_cast<std::size_t>(count - i - 1)] : 5));
    }
    const std::vector<Readout> readouts = predictor_->advance(step);
    ASSERT_EQ(readouts.size(), step.tokens.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < step.rows.size(); ++i)
      for (std::int64_t n = 0; n < step.counts[i]; ++n, ++at)
        ASSERT_NO_FATAL_FAILURE(check(readouts[at], step.wants[at], models_, posterior_,
                                      texts_.at(step.rows[i]), firsts[i] + n));
  }

 private:
  int pick(std::int64_t count) {
    return std::uniform_int_distribution(0, static_cast<int>(count) - 1)(random_);
  }

  Want some_want(std::int64_t next) {
    Want want;
    if (pick(3) == 0) want.target = pick(2) == 0 ? next : pick(kVocabulary);
    if (pick(6) == 0) want.top = pick(5);
    if (pick(8) == 0) want.distribution = true;
    if (pick(3) == 0) want.temperature = 0.7;
    if (pick(4) == 0) want.expert = static_cast<std::size_t>(pick(std::ssize(models_)));
    return want;
  }

  void change() {
    while (texts_.size() < 3) open();
    if (texts_.size() < 8 && pick(3) == 0) open();
    const auto chosen = std::next(texts_.begin(), pick(std::ssize(texts_)));
    const int kind = pick(7);
    if (kind == 0 || kind == 1) {
      const Text text = chosen->second;
      texts_.emplace(predictor_->fork(chosen->first), text);
    } else if (kind == 4) {
      const int length = pick(std::ssize(chosen->second) + 1);
      texts_.emplace(predictor_->fork_prefix(chosen->first, length, length + 30).value(),
                     Text(chosen->second.begin(), chosen->second.begin() + length));
      predictor_->close(chosen->first);
      texts_.erase(chosen);
    } else if (kind == 2) {
      predictor_->close(chosen->first);
      texts_.erase(chosen);
    } else if (kind == 3 && !chosen->second.empty()) {
      Reference reference(models_, posterior_, chosen->second, std::ssize(chosen->second) - 1);
      expect_near(predictor_->posterior(chosen->first), reference.weights, kTolerance);
    }
  }

  void open() { texts_.emplace(predictor_->open(pick(30)).value(), Text()); }

  const Models& models_;
  const Posterior& posterior_;
  std::unique_ptr<Predictor> predictor_;
  std::mt19937 random_;
  std::map<Row, Text> texts_;
};

TEST(ModelPredictor, ReadsOutTheMixtureHoweverTextsAreCut) {
  for (const std::size_t experts : {1U, 3U}) {
    const Models models = random_models(experts);
    for (const PosteriorRule rule : kRules)
      for (const Combination combination : {Combination::kMean, Combination::kProduct}) {
        std::vector<double> weights{0.5, 0.3, 0.2};
        weights.resize(experts);
        const Posterior posterior(Prior::given(weights), rule, 0, combination);
        Texts texts(models, posterior, 31);
        for (int i = 0; i < 20; ++i) {
          texts.step();
          if (HasFatalFailure()) return;
        }
      }
  }
}

TEST(ModelPredictor, RunsAnExpertOnlyWhereItsPriorSays) {
  const Models models = random_models(2);
  const Posterior posterior(Prior::of_text(std::make_shared<LastTokenPrior>(2)),
                            PosteriorRule::kNone);
  Texts texts(models, posterior, 32);
  for (int i = 0; i < 20; ++i) {
    texts.step();
    if (HasFatalFailure()) return;
  }
  // After an even token only the first expert runs.
  const auto predictor = predictor_of(models, posterior);
  const Row row = predictor->open(10).value();
  const Want want{.target = 9};
  const auto readouts = predictor->advance({{row}, {3}, {2, 6, 7}, {want, want, want}});
  for (const std::size_t place : {0U, 1U}) {
    EXPECT_FALSE(std::isnan(readouts[place].expert_log_probs[0]));
    EXPECT_TRUE(std::isnan(readouts[place].expert_log_probs[1]));
  }
  EXPECT_TRUE(std::isnan(readouts[2].expert_log_probs[0]));
  EXPECT_EQ(readouts[2].weights_after, (std::vector<double>{0, 1}));  // 9 is odd
}

/// Feeds `text` in steps of `count` tokens and returns the scores of its tokens.
std::vector<Readout> fed(Predictor& predictor, const Text& text, std::int64_t count) {
  const Row row = predictor.open(std::ssize(text)).value();
  std::vector<Readout> all;
  for (std::int64_t from = 0; from < std::ssize(text); from += count) {
    const std::int64_t to = std::min(std::ssize(text), from + count);
    Predictor::Step step{{row}, {to - from}, {text.begin() + from, text.begin() + to}, {}};
    for (std::int64_t i = from + 1; i <= to; ++i)
      step.wants.push_back(
          {.target = text[static_cast<std::size_t>(i % std::ssize(text))], .top = 3});
    for (Readout& readout : predictor.advance(step)) all.push_back(std::move(readout));
  }
  predictor.close(row);
  return all;
}

Text random_text(std::mt19937& random, std::int64_t length) {
  Text text{2};
  std::uniform_int_distribution<std::int64_t> token(4, kVocabulary - 1);
  while (std::ssize(text) < length) text.push_back(token(random));
  return text;
}

TEST(ModelPredictor, GivesTheSameBitsWhateverIsBesideOnThePackedPath) {
  if (!has_fast_bf16()) GTEST_SKIP() << "this processor multiplies in fp32";
  std::mt19937 random(5);
  const Models models = random_models(2, Products::kBf16);
  const Posterior posterior(Prior::uniform(2), PosteriorRule::kFull);
  const auto predictor = predictor_of(models, posterior);
  std::vector<Row> rows;
  Predictor::Step step;
  std::vector<Text> texts;
  for (std::int64_t i = 0; i < 5; ++i) {
    texts.push_back(random_text(random, 10 + 11 * i));  // the last ones leave their windows
    step.rows.push_back(predictor->open(0).value());
    step.counts.push_back(std::ssize(texts.back()));
    for (std::size_t n = 0; n < texts.back().size(); ++n) {
      step.tokens.push_back(texts.back()[n]);
      step.wants.push_back({.target = texts.back()[(n + 1) % texts.back().size()], .top = 3});
    }
  }
  const std::vector<Readout> together = predictor->advance(step);
  auto found = together.begin();
  for (const Text& text : texts)
    for (const Readout& alone : fed(*predictor, text, 1)) {
      ASSERT_EQ(alone.log_prob, found->log_prob);
      ASSERT_EQ(alone.expert_log_probs, found->expert_log_probs);
      ASSERT_EQ(alone.weights, found->weights);
      ASSERT_EQ(alone.top[2].log_prob, found->top[2].log_prob);
      ++found;
    }
}

TEST(ModelPredictor, AnswersWithinOneExpertAlone) {
  const Models models = random_models(3);
  std::mt19937 random(6);
  const Text text = random_text(random, 40);
  const Posterior posterior(Prior::uniform(3), PosteriorRule::kFull);
  const auto mixture = predictor_of(models, posterior);
  const Row row = mixture->open(0).value();
  const Want want{.top = 1, .expert = 1};
  for (const std::int64_t token : text) mixture->advance({{row}, {1}, {token}, {want}});
  // The others, and what expert 1 has not kept, catch up over the ends of two windows.
  const std::vector<double> late = mixture->posterior(row);
  expect_near(late, Reference(models, posterior, text, std::ssize(text) - 1).weights, kTolerance);
  const auto alone = predictor_of({models[1]}, Posterior(Prior::uniform(1), PosteriorRule::kFull));
  const Row same = alone->open(0).value();
  std::vector<Readout> last;
  for (const std::int64_t token : text) last = alone->advance({{same}, {1}, {token}, {{.top = 1}}});
  const auto again = mixture->advance({{row}, {1}, {text[5]}, {want}});
  EXPECT_EQ(alone->advance({{same}, {1}, {text[5]}, {{.top = 1}}})[0].top[0].token,
            again[0].top[0].token);
}

TEST(ModelPredictor, HasNoRoomBeyondItsCapacity) {
  const Models models = random_models(2);
  const auto predictor =
      predictor_of(models, Posterior(Prior::uniform(2), PosteriorRule::kLast), 48);
  const Want want{.target = 5};
  const Row row = predictor->open(16).value(), other = predictor->open(16).value();
  EXPECT_EQ(predictor->free_tokens(), 16);
  EXPECT_FALSE(predictor->open(17).has_value());
  EXPECT_EQ(predictor->free_tokens(), 16);
  const Text text(20, 7);
  const std::vector<Want> wants(20, want);
  const auto full = predictor->advance({{row}, {20}, text, wants});
  expect_error<std::runtime_error>(
      [&] {
        predictor->advance({{other}, {20}, text, wants});
      },
      "there is no room for 20 more tokens");
  // The row is as it was.
  EXPECT_NEAR(predictor->advance({{other}, {1}, {7}, {want}})[0].log_prob, full[0].log_prob, 1e-5);
  predictor->close(row);
  EXPECT_EQ(predictor->free_tokens(), 32);
  // A text may be longer than the capacity: its window is 24 tokens.
  const Row third = predictor->open(24).value();
  EXPECT_EQ(predictor->advance({{third}, {60}, Text(60, 7), std::vector<Want>(60, want)}).size(),
            60U);
}

TEST(ModelPredictor, ReadsOutOnAGpuWhatACpuDoes) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no GPU";
  const Models models = random_models(3);
  Models on_gpu;
  for (std::size_t e = 0; e < 3; ++e) {
    auto model = btm_test::random_model(btm_test::small_config(kPositions), 20 + e, kVocabulary);
    for (const NamedParameter& parameter : model->parameters())
      if (parameter.tensor->defined()) *parameter.tensor = parameter.tensor->to(at::kCUDA);
    on_gpu.push_back(std::move(model));
  }
  std::mt19937 random(7);
  const Text text = random_text(random, 40);
  std::vector<Want> wants;
  for (std::size_t i = 0; i < text.size(); ++i) wants.push_back({.target = text[i], .top = 3});
  for (const PosteriorRule rule : kRules) {
    std::vector<std::vector<Readout>> found;
    for (const Models& experts : {models, on_gpu}) {
      const auto predictor = predictor_of(experts, Posterior(Prior::uniform(3), rule));
      const Row row = predictor->open(0).value();
      found.push_back(predictor->advance({{row}, {std::ssize(text)}, text, wants}));
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
      EXPECT_NEAR(found[0][i].log_prob, found[1][i].log_prob, 1e-3);
      EXPECT_NEAR(found[0][i].top[0].log_prob, found[1][i].top[0].log_prob, 1e-3);
    }
  }
}

TEST(ModelPredictor, NamesTheExpertThatGivesNaN) {
  Models models = random_models(2);
  auto broken = btm_test::random_model(btm_test::small_config(kPositions), 3, kVocabulary);
  for (const NamedParameter& parameter : broken->parameters())
    if (parameter.name == "decoder.layer_norm.bias") parameter.tensor->fill_(NAN);
  models[1] = std::move(broken);
  const auto predictor = predictor_of(models, Posterior(Prior::uniform(2), PosteriorRule::kFull));
  for (const Want& want :
       {Want{.target = 5}, Want{.top = 1}, Want{.distribution = true, .expert = 1}}) {
    const Row row = predictor->open(0).value();
    expect_error<std::runtime_error>(
        [&] {
          predictor->advance({{row}, {1}, {2}, {want}});
        },
        "expert-1: gives no probability (NaN or infinite) for token 2 of a text");
    predictor->close(row);
  }
  // An expert that is not asked does no harm.
  const Row row = predictor->open(0).value();
  EXPECT_EQ(predictor->advance({{row}, {1}, {2}, {{.top = 1, .expert = 0}}})[0].top.size(), 1U);
}

/// Position 3 of the first expert is NaN: only texts that reach it fail, whatever is asked of them,
/// and what comes later into the memory of their keys and values does not.
TEST(ModelPredictor, FailsTheRowsThatMeetNaNAlone) {
  Models models = random_models(2);
  auto broken = btm_test::random_model(btm_test::small_config(kPositions), 20, kVocabulary);
  for (const NamedParameter& parameter : broken->parameters())
    if (parameter.name == "decoder.embed_positions.weight")
      parameter.tensor->select(0, TransformerLM::kPaddingIdx + 1 + 3).fill_(NAN);
  models[0] = std::move(broken);
  const std::vector<Want> long_wants{{}, {.top = 2}, {}, {.target = 5}},
      short_wants{{.target = 6}, {.distribution = true}};
  for (const PosteriorRule rule : kRules)
    for (const Want& last : {Want{.target = 5}, Want{.top = 1}, Want{.distribution = true}}) {
      const Posterior posterior(Prior::uniform(2), rule);
      const auto predictor = predictor_of(models, posterior, 64);
      const Row bad = predictor->open(4).value(), good = predictor->open(4).value();
      std::vector<Want> wants(long_wants.begin(), long_wants.begin() + 3);
      wants.push_back(last);
      wants.insert(wants.end(), short_wants.begin(), short_wants.end());
      const auto readouts =
          predictor->advance_each({{bad, good}, {4, 2}, {2, 6, 7, 8, 2, 6}, wants});
      for (std::size_t i = 0; i < 4; ++i)
        EXPECT_NE(readouts[i].fault.find("expert-0: gives no probability"), std::string::npos);
      for (std::size_t i = 4; i < 6; ++i) {
        EXPECT_EQ(readouts[i].fault, "");
        check(readouts[i], wants[i], models, posterior, {2, 6}, static_cast<std::int64_t>(i) - 4);
      }
      EXPECT_THROW(predictor->advance_each({{bad}, {1}, {9}, {{.expert = 1}}}),
                   std::invalid_argument);
      predictor->close(bad);
      const Row next = predictor->open(4).value();  // where the failed one was
      const auto after = predictor->advance({{next, good}, {2, 1}, {2, 8, 9}, {{}, last, last}});
      check(after[1], last, models, posterior, {2, 8}, 1);
      check(after[2], last, models, posterior, {2, 6, 9}, 2);
    }
}

TEST(ModelPredictor, RefusesStepsThatDoNotAddUp) {
  const Models models = random_models(1);
  const auto predictor = predictor_of(models, Posterior(Prior::uniform(1), PosteriorRule::kFull));
  const Row row = predictor->open(0).value();
  const Want none;
  const auto refused = [&](const Predictor::Step& step) {
    EXPECT_THROW(predictor->advance(step), std::invalid_argument);
  };
  refused({{row + 1}, {1}, {2}, {none}});
  refused({{row}, {0}, {}, {}});
  refused({{row}, {2}, {2}, {none}});
  refused({{row}, {1}, {2}, {}});
  refused({{row}, {}, {2}, {none}});
  refused({{row, row}, {1, 1}, {2, 2}, {none, none}});
  refused({{row}, {1}, {-1}, {none}});
  refused({{row}, {1}, {kVocabulary}, {none}});
  refused({{row}, {1}, {TransformerLM::kPaddingIdx}, {none}});
  refused({{row}, {1}, {2}, {{.target = kVocabulary}}});
  refused({{row}, {1}, {2}, {{.top = -1}}});
  refused({{row}, {1}, {2}, {{.top = 1, .temperature = 0}}});
  refused({{row}, {1}, {2}, {{.top = 1, .temperature = NAN}}});
  refused({{row}, {1}, {2}, {{.top = 1, .expert = 1}}});
  EXPECT_THROW(predictor->close(row + 1), std::invalid_argument);
  EXPECT_THROW(predictor->fork(row + 1), std::invalid_argument);
  EXPECT_EQ(predictor->advance({{row}, {1}, {2}, {{.top = 200}}})[0].top.size(),
            static_cast<std::size_t>(kVocabulary));
  EXPECT_THROW(predictor_of({}, Posterior(Prior::uniform(1), PosteriorRule::kFull)),
               std::invalid_argument);
  EXPECT_THROW(predictor_of(models, Posterior(Prior::uniform(2), PosteriorRule::kFull)),
               std::invalid_argument);
}

}  // namespace
}  // namespace btm
