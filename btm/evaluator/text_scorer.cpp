#include "btm/evaluator/text_scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <list>
#include <numbers>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <utility>

namespace btm {

double TextScore::total() const { return std::accumulate(log_probs.begin(), log_probs.end(), 0.0); }

double TextScore::perplexity() const { return std::exp(-mean()); }

double TextScore::bits_per_byte(std::int64_t bytes) const {
  if (bytes == 0) return std::numeric_limits<double>::infinity();
  return -total() / std::numbers::ln2 / static_cast<double>(bytes);
}

std::vector<double> evidence_of(const TextScore& score) {
  if (score.expert_log_probs.empty()) return {1.0};
  std::vector<double> logs(score.expert_log_probs.front().size(), 0.0);
  for (const std::vector<float>& token : score.expert_log_probs)
    for (std::size_t e = 0; e < logs.size(); ++e) logs[e] += token[e];
  for (double& log : logs)
    if (std::isnan(log)) log = -std::numeric_limits<double>::infinity();
  const double best = *std::ranges::max_element(logs);
  if (!std::isfinite(best)) return std::vector<double>(logs.size(), 0.0);
  double sum = 0;
  for (double& log : logs) sum += log = std::exp(log - best);
  for (double& weight : logs) weight /= sum;
  return logs;
}

/// A text on its way through the predictor.
class TextScorer::OpenText {
 public:
  OpenText(Predictor& predictor, Predictor::Row row, const TextToScore& text, TextScore& score)
      : predictor_(predictor), row_(row), text_(text), score_(score) {}
  ~OpenText() { predictor_.close(row_); }
  OpenText(const OpenText&) = delete;
  OpenText& operator=(const OpenText&) = delete;

  std::int64_t left() const { return text_.fed() - fed_; }

  /// Adds the next `count` tokens to a step.
  void feed(std::int64_t count, std::int64_t eos, Predictor::Step& step) {
    step.rows.push_back(row_);
    step.counts.push_back(count);
    for (const std::int64_t end = fed_ + count; fed_ < end; ++fed_) {
      step.tokens.push_back(fed_ == 0 ? eos : token(fed_ - 1));
      const bool scored = fed_ >= std::ssize(text_.context);
      step.wants.emplace_back().target =
          scored ? std::optional<std::int64_t>(token(fed_)) : std::nullopt;
    }
  }

  /// What a step gave at one of them.
  void take(Readout& readout, bool mixture) {
    score_.log_probs.push_back(readout.log_prob);
    if (!mixture) return;
    score_.expert_log_probs.push_back(std::move(readout.expert_log_probs));
    score_.weights.push_back(std::move(readout.weights_after));
  }

 private:
  std::int64_t token(std::int64_t place) const {
    const auto at = static_cast<std::size_t>(place);
    const std::size_t context = text_.context.size();
    return at < context ? text_.context[at] : text_.tokens[at - context];
  }

  Predictor& predictor_;
  Predictor::Row row_;
  const TextToScore& text_;
  TextScore& score_;
  std::int64_t fed_ = 0;
};

TextScorer::TextScorer(Predictor& predictor, std::int64_t eos, std::int64_t max_tokens)
    : predictor_(predictor), eos_(eos), max_tokens_(std::max<std::int64_t>(1, max_tokens)) {}

std::vector<TextScore> TextScorer::score(std::span<const TextToScore> texts) {
  std::vector<TextScore> scores(texts.size());
  std::list<OpenText> open;  // their addresses do not change
  std::size_t next = 0;
  while (next < texts.size() || !open.empty()) {
    Predictor::Step step;
    std::int64_t budget = max_tokens_;
    const auto feed = [&](OpenText& text) {
      const std::int64_t count = std::min(budget, text.left());
      text.feed(count, eos_, step);
      budget -= count;
    };
    for (OpenText& text : open) feed(text);  // at most one: a long text fills a step by itself
    for (; next < texts.size() && (step.rows.empty() || texts[next].fed() <= budget); ++next) {
      const std::optional<Predictor::Row> row = predictor_.open(texts[next].fed());
      if (!row && step.rows.empty()) throw std::runtime_error("there is no room for a text");
      if (!row) break;
      feed(open.emplace_back(predictor_, *row, texts[next], scores[next]));
    }
    std::vector<Readout> readouts = predictor_.advance(step);
    tokens_fed_ += std::ssize(step.tokens);
    std::size_t at = 0, row = 0;
    for (auto text = open.begin(); text != open.end(); ++row) {
      for (std::int64_t i = 0; i < step.counts[row]; ++i, ++at)
        if (step.wants[at].target) text->take(readouts[at], predictor_.experts() > 1);
      text = text->left() == 0 ? open.erase(text) : std::next(text);
    }
  }
  return scores;
}

}  // namespace btm
