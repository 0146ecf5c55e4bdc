// One model or a mixture of several, fed with tokens row by row. Scoring, generation and the server
// see models through this interface only. E experts, V symbols of the dictionary.
//
// A row is a text that grows. Every text begins with the end-of-sentence symbol, as in training:
// the caller feeds it first. It is not scored. Each later token is evidence for the experts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace btm {

class Posterior;

/// What to compute about the token that follows a place in a text.
struct Want {
  std::optional<std::int64_t> target = {};  ///< The scores of this token.
  std::int64_t top = 0;                     ///< As many of the most probable tokens.
  bool distribution = false;                ///< The log-probabilities of all tokens.
  /// Divides each expert's logits for `top` and `distribution`. Scores of targets, and what the
  /// experts' weights are made of, are those of temperature 1.
  double temperature = 1;
  /// This expert instead of the mixture. The others are not run for it.
  std::optional<std::size_t> expert = {};

  bool nothing() const noexcept { return !target && top == 0 && !distribution; }
};

struct TopToken {
  std::int64_t token = 0;
  float log_prob = 0;
};

/// Natural logs. What was not wanted is empty.
struct Readout {
  double log_prob = 0;                  ///< Of the target.
  std::vector<float> expert_log_probs;  ///< [E] of the target; NaN for experts that were not run.
  std::vector<double> weights;          ///< [E] of the experts for the token that follows.
  std::vector<double> weights_after;    ///< [E] the same when the target has followed.
  std::vector<TopToken> top;            ///< The best first; among equals, the smaller id first.
  std::vector<float> distribution;      ///< [V]
  std::string fault;  ///< Why a model says nothing about the row: nothing else is of use then.
};

class Predictor {
 public:
  using Row = std::int64_t;

  /// New tokens of some rows.
  struct Step {
    std::vector<Row> rows;             ///< Each once.
    std::vector<std::int64_t> counts;  ///< New tokens of each row, at least 1.
    std::vector<std::int64_t> tokens;  ///< All of them, row after row.
    std::vector<Want> wants;           ///< For each token: about the one after it.
  };

  virtual ~Predictor() = default;
  virtual std::size_t experts() const = 0;
  virtual std::int64_t vocab_size() const = 0;
  /// Tokens that a model can see at once. A longer row goes on with the last half of them, which
  /// is computed again: its positions begin at 0 again.
  virtual std::int64_t max_positions() const = 0;
  /// Tokens for which there is still room.
  virtual std::int64_t free_tokens() const = 0;
  /// A row takes room for whole blocks of so many tokens.
  virtual std::int64_t block() const { return 1; }

  /// A row without tokens, with room for `tokens`. Nothing where there is too little room. Its
  /// experts are mixed by `mixture`, over as many; null: as the predictor mixes them.
  virtual std::optional<Row> open(std::int64_t tokens,
                                  std::shared_ptr<const Posterior> mixture) = 0;
  std::optional<Row> open(std::int64_t tokens) { return open(tokens, nullptr); }
  /// Feeds new tokens. Returns a readout for each of them, in the step's order. A row's readout
  /// does not depend on the other rows. Where a model gives NaN, all readouts of the row have a
  /// `fault`, and it can only be closed; other rows go on. std::runtime_error where there is no
  /// room. std::invalid_argument for tokens outside the dictionary, and for a row with a fault.
  virtual std::vector<Readout> advance_each(const Step& step) = 0;
  /// The same, but a fault is a std::runtime_error.
  std::vector<Readout> advance(const Step& step) {
    std::vector<Readout> readouts = advance_each(step);
    for (const Readout& readout : readouts)
      if (!readout.fault.empty()) throw std::runtime_error(readout.fault);
    return readouts;
  }
  /// A new row with the tokens of `row`. They share memory until one of them grows.
  virtual Row fork(Row row) = 0;
  /// A new row with the first `length` tokens of `row` and its mixture, with room for `tokens` in
  /// all. The two share the memory of these tokens but for the last one, which is read again.
  /// Nothing where there is too little room. std::invalid_argument for more than the row has.
  virtual std::optional<Row> fork_prefix(Row row, std::int64_t length, std::int64_t tokens) = 0;
  virtual void close(Row row) = 0;
  /// [E] the experts' weights for the row's next token.
  virtual std::vector<double> posterior(Row row) = 0;
  /// A text has ended with these weights [E]. An updating prior follows; it changes texts that are
  /// opened later.
  virtual void update_prior(std::span<const double> /*posterior*/) {}
};

}  // namespace btm
