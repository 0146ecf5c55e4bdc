// A Predictor whose probabilities a test writes down.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "btm/mixing/predictor.h"

namespace btm_test {

/// Fixed weights over experts. A probability depends on the expert and on the tokens before it, the
/// end-of-sentence symbol in front left out.
class FakePredictor : public btm::Predictor {
 public:
  using Tokens = std::vector<std::int64_t>;
  /// [V] not normalised.
  using Table = std::function<std::vector<double>(std::size_t expert, const Tokens& text)>;

  FakePredictor(std::int64_t vocab, Table table, std::vector<double> weights = {1},
                std::int64_t room = 1 << 20, std::int64_t block = 1)
      : vocab_(vocab),
        table_(std::move(table)),
        weights_(std::move(weights)),
        room_(room),
        block_(block) {}

  std::size_t experts() const override { return weights_.size(); }
  std::int64_t vocab_size() const override {
    if (out_of_memory) throw std::bad_alloc();
    return vocab_;
  }
  std::int64_t max_positions() const override { return 1 << 10; }
  std::int64_t free_tokens() const override { return room_; }
  std::int64_t block() const override { return block_; }

  std::optional<Row> open(std::int64_t tokens, std::shared_ptr<const btm::Posterior>) override {
    if (tokens > room_) return std::nullopt;
    room_ -= tokens;
    rows_[next_] = {{}, tokens};
    return next_++;
  }
  Row fork(Row row) override {
    rows_[next_] = {rows_.at(row).first, 0};
    return next_++;
  }
  std::optional<Row> fork_prefix(Row row, std::int64_t length, std::int64_t tokens) override {
    const auto opened = open(tokens, nullptr);
    const Tokens& text = rows_.at(row).first;
    if (opened) rows_.at(*opened).first.assign(text.begin(), text.begin() + length);
    return opened;
  }
  void close(Row row) override {
    room_ += rows_.at(row).second;
    rows_.erase(row);
  }
  std::vector<double> posterior(Row) override { return weights_; }

  std::vector<btm::Readout> advance_each(const Step& step) override {
    ++steps;
    most_rows = std::max(most_rows, step.rows.size());
    std::vector<btm::Readout> readouts;
    std::size_t at = 0;
    for (std::size_t i = 0; i < step.rows.size(); ++i)
      for (std::int64_t k = 0; k < step.counts[i]; ++k, ++at) {
        Tokens& text = rows_.at(step.rows[i]).first;
        text.push_back(step.tokens.at(at));
        if (text.front() != 2) throw std::logic_error("a text begins with end of sentence");
        readouts.push_back(read(text, step.wants.at(at)));
        if (std::ranges::find(text, poison) != text.end()) readouts.back().fault = "gives NaN";
      }
    return readouts;
  }

  /// The probabilities [V] of the token after `text`, by the mixture or one expert.
  std::vector<double> probabilities(const Tokens& text, std::optional<std::size_t> expert = {},
                                    double temperature = 1) const {
    std::vector<double> mixed(static_cast<std::size_t>(vocab_));
    for (std::size_t e = 0; e < weights_.size(); ++e) {
      if (expert && *expert != e) continue;
      std::vector<double> p = table_(e, text);
      for (double& value : p) value = std::pow(value, 1 / temperature);
      const double sum = std::accumulate(p.begin(), p.end(), 0.0);
      const double weight = expert ? 1 : weights_[e];
      for (std::size_t v = 0; v < mixed.size(); ++v) mixed[v] += weight * p.at(v) / sum;
    }
    return mixed;
  }

  std::size_t open_rows() const { return rows_.size(); }

  std::atomic<bool> out_of_memory = false;  ///< Takes no prompt.
  std::int64_t poison = -1;                 ///< A text with this token has a fault.
  int steps = 0;
  std::size_t most_rows = 0;
  std::set<std::size_t> experts_asked;  ///< By Want::expert; 99: the mixture.

 private:
  btm::Readout read(const Tokens& fed, const btm::Want& want) {
    btm::Readout readout;
    readout.weights = weights_;
    if (want.nothing()) return readout;
    experts_asked.insert(want.expert.value_or(99));
    const Tokens text(fed.begin() + 1, fed.end());
    if (want.target)
      readout.log_prob =
          std::log(probabilities(text, want.expert).at(static_cast<std::size_t>(*want.target)));
    const std::vector<double> p = probabilities(text, want.expert, want.temperature);
    std::vector<btm::TopToken> all;
    for (std::size_t v = 0; v < p.size(); ++v) {
      const auto log_prob = static_cast<float>(std::log(p[v]));
      all.push_back({static_cast<std::int64_t>(v), log_prob});
      if (want.distribution) readout.distribution.push_back(log_prob);
    }
    std::ranges::stable_sort(all, std::ranges::greater{}, &btm::TopToken::log_prob);
    all.resize(std::min(all.size(), static_cast<std::size_t>(want.top)));
    readout.top = all;
    return readout;
  }

  std::int64_t vocab_;
  Table table_;
  std::vector<double> weights_;
  std::int64_t room_, block_;
  std::map<Row, std::pair<Tokens, std::int64_t>> rows_;
  Row next_ = 0;
};

}  // namespace btm_test
