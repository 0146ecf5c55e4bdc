// Scores of texts under a model or a mixture. E experts, T scored tokens of a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "btm/mixing/predictor.h"

namespace btm {

/// Ids of a text. The </s> that it begins with is not scored and does not stand here.
struct TextToScore {
  std::vector<std::int64_t> context;  ///< Fed before the text, not scored.
  std::vector<std::int64_t> tokens;   ///< [T] Scored.

  /// Tokens that a model is fed.
  std::int64_t fed() const noexcept {
    return static_cast<std::int64_t>(context.size() + tokens.size());
  }
};

/// Natural logs.
struct TextScore {
  std::vector<double> log_probs;                     ///< [T] of the mixture.
  std::vector<std::vector<float>> expert_log_probs;  ///< [T][E]; NaN: not run. Empty for E = 1.
  std::vector<std::vector<double>> weights;          ///< [T][E] after each token. Empty for E = 1.

  double total() const;
  double mean() const { return total() / static_cast<double>(log_probs.size()); }
  double perplexity() const;
  /// Of a text of `bytes`. Infinite for no bytes.
  double bits_per_byte(std::int64_t bytes) const;
};

/// [E] how probable each expert is after a text, by Bayes' rule from 1/E: it tells the text's
/// domain, whatever the mixture's own weights are. 0 for an expert that was not run on every token.
std::vector<double> evidence_of(const TextScore& score);

/// Feeds texts to a predictor, as many at once as fit. There is no padding, so their order costs
/// nothing. A text longer than the predictor's positions goes through its window.
class TextScorer {
 public:
  /// At most `max_tokens` are fed at once; the predictor has room for more.
  TextScorer(Predictor& predictor, std::int64_t eos, std::int64_t max_tokens);

  /// The scores in the order of `texts`, none of which is empty. A text's score does not depend on
  /// the others. Errors of Predictor::advance().
  std::vector<TextScore> score(std::span<const TextToScore> texts);

  std::int64_t tokens_fed() const noexcept { return tokens_fed_; }

 private:
  class OpenText;
  Predictor& predictor_;
  std::int64_t eos_, max_tokens_;
  std::int64_t tokens_fed_ = 0;
};

}  // namespace btm
