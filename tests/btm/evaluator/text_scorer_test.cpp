#include "btm/evaluator/text_scorer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <stdexcept>

namespace btm {
namespace {

constexpr std::int64_t kEos = 2;

/// Two experts. The log-probability of a token under expert e is -(1 + e) * (token + place / 100).
/// The mixture's is that of expert 0.
class FakePredictor final : public Predictor {
 public:
  explicit FakePredictor(std::int64_t room = 1000) : room_(room) {}
  std::size_t experts() const override { return 2; }
  std::int64_t vocab_size() const override { return 100; }
  std::int64_t max_positions() const override { return 1000; }
  std::int64_t free_tokens() const override { return room_; }
  std::optional<Row> open(std::int64_t tokens, std::shared_ptr<const Posterior>) override {
    if (tokens > room_) return std::nullopt;
    room_ -= tokens;
    rows_[next_] = {0, tokens};
    return next_++;
  }
  std::vector<Readout> advance_each(const Step& step) override {
    steps.push_back(step);
    if (fails) throw std::runtime_error("a model gives NaN");
    std::vector<Readout> readouts;
    std::size_t at = 0;
    for (std::size_t r = 0; r < step.rows.size(); ++r) {
      for (std::int64_t i = 0; i < step.counts[r]; ++i, ++at) {
        const std::int64_t place = rows_.at(step.rows[r]).first++;
        EXPECT_EQ(step.tokens[at] == kEos, place == 0);
        Readout& readout = readouts.emplace_back();
        if (!step.wants[at].target) continue;
        const double score =
            -(static_cast<double>(*step.wants[at].target) + static_cast<double>(place) / 100);
        readout.log_prob = score;
        readout.expert_log_probs = {static_cast<float>(score), static_cast<float>(2 * score)};
        readout.weights_after = {0.75, 0.25};
      }
    }
    return readouts;
  }
  Row fork(Row) override { throw std::logic_error("not used"); }
  std::optional<Row> fork_prefix(Row, std::int64_t, std::int64_t) override {
    throw std::logic_error("not used");
  }
  void close(Row row) override {
    room_ += rows_.at(row).second;
    rows_.erase(row);
  }
  std::vector<double> posterior(Row) override { return {0.5, 0.5}; }
  std::size_t open_rows() const { return rows_.size(); }

  std::vector<Step> steps;
  bool fails = false;

 private:
  std::int64_t room_;
  Row next_ = 0;
  std::map<Row, std::pair<std::int64_t, std::int64_t>> rows_;  ///< Fed, reserved.
};

const std::vector<TextToScore> kTexts{
    {{}, {3, 4, kEos}}, {{5, 6}, {7, kEos}}, {{}, {8, 9, 10, 11, 12, kEos}}};

TEST(TextScorer, ScoresTheTextAndNotItsContext) {
  FakePredictor predictor;
  const auto scores = TextScorer(predictor, kEos, 100).score(kTexts);
  EXPECT_EQ(predictor.steps.size(), 1U);
  EXPECT_EQ(predictor.steps[0].tokens,
            (std::vector<std::int64_t>{2, 3, 4, 2, 5, 6, 7, 2, 8, 9, 10, 11, 12}));
  EXPECT_EQ(scores[0].log_probs, (std::vector<double>{-3, -4.01, -2.02}));
  EXPECT_EQ(scores[1].log_probs, (std::vector<double>{-7.02, -2.03}));
  EXPECT_EQ(scores[1].weights.back(), (std::vector<double>{0.75, 0.25}));
  EXPECT_EQ(predictor.open_rows(), 0U);
}

TEST(TextScorer, GivesTheSameInAnyBatches) {
  FakePredictor whole, parts;
  const auto expected = TextScorer(whole, kEos, 100).score(kTexts);
  for (std::int64_t max_tokens = 1; max_tokens < 15; ++max_tokens) {
    TextScorer scorer(parts, kEos, max_tokens);
    const auto scores = scorer.score(kTexts);
    for (std::size_t i = 0; i < kTexts.size(); ++i)
      EXPECT_EQ(scores[i].log_probs, expected[i].log_probs) << max_tokens << " " << i;
    EXPECT_EQ(scorer.tokens_fed(), 13);
    for (const auto& step : parts.steps) EXPECT_LE(std::ssize(step.tokens), max_tokens);
    parts.steps.clear();
  }
}

TEST(TextScorer, WaitsForRoom) {
  FakePredictor small(6), tiny(5);
  EXPECT_EQ(TextScorer(small, kEos, 100).score(kTexts)[2].log_probs.size(), 6U);
  EXPECT_EQ(small.steps.size(), 3U);
  EXPECT_THROW(TextScorer(tiny, kEos, 100).score(kTexts), std::runtime_error);
  EXPECT_EQ(tiny.open_rows(), 0U);
}

TEST(TextScorer, ClosesItsRowsAfterAnError) {
  FakePredictor predictor;
  predictor.fails = true;
  EXPECT_THROW(TextScorer(predictor, kEos, 100).score(kTexts), std::runtime_error);
  EXPECT_EQ(predictor.open_rows(), 0U);
}

TEST(TextScore, HasTheUsualMeasures) {
  const TextScore score{{-1, -2, -3}, {}, {}};
  EXPECT_DOUBLE_EQ(score.total(), -6);
  EXPECT_DOUBLE_EQ(score.mean(), -2);
  EXPECT_DOUBLE_EQ(score.perplexity(), std::exp(2));
  EXPECT_DOUBLE_EQ(score.bits_per_byte(12), 6 / std::log(2) / 12);
  EXPECT_EQ(score.bits_per_byte(0), HUGE_VAL);
}

TEST(TextScore, TellsTheExpertByBayesRule) {
  TextScore score;
  EXPECT_EQ(evidence_of(score), std::vector<double>{1});
  score.expert_log_probs = {{-1, -2, -1}, {-1, -1, NAN}};
  const auto evidence = evidence_of(score);
  EXPECT_NEAR(evidence[0], 1 / (1 + std::exp(-1)), 1e-12);
  EXPECT_NEAR(evidence[1], 1 / (1 + std::exp(1)), 1e-12);
  EXPECT_EQ(evidence[2], 0);
  score.expert_log_probs = {{-5000, -5001}, {-HUGE_VALF, -1}};
  EXPECT_EQ(evidence_of(score), (std::vector<double>{0, 1}));
}

}  // namespace
}  // namespace btm
