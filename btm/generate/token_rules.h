// Which tokens may follow a text, and what to ask a Predictor so that the best of them are known.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "btm/generate/generate_options.h"
#include "btm/mixing/predictor.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

/// Ids of the dictionary's special symbols.
struct Symbols {
  std::int64_t pad = 1, eos = 2, unk = 3;
};

Symbols symbols_of(const compat::Dictionary& dictionary);

class TokenRules {
 public:
  /// `longest`: tokens after which only the end-of-sentence symbol may follow.
  TokenRules(const GenerateOptions& options, const Symbols& symbols, std::int64_t vocab_size,
             std::int64_t longest);

  /// What to ask about the token that follows `text` (prompt included, without the end-of-sentence
  /// symbol in front) to know the `count` best tokens, or to draw one.
  Want next(std::span<const std::int64_t> text, std::int64_t count) const;
  /// What to ask to know the score of a token of the prompt.
  Want prompt(std::int64_t token) const;
  /// Whether it takes a distribution: at another temperature than 1.
  bool heats_prompt() const;

  /// Applies the rules to the answer to next(): `top`, the best first, or `distribution` has what
  /// may follow; impossible tokens are left out of the one and -inf in the other.
  void apply(Readout& readout, std::span<const std::int64_t> text) const;
  /// The score of a token of the prompt in the answer to prompt().
  double prompt_score(const Readout& readout, std::int64_t token) const;

 private:
  bool is_full(std::span<const std::int64_t> text) const;
  std::vector<std::int64_t> forbidden(std::span<const std::int64_t> text) const;

  GenerateOptions options_;
  Symbols symbols_;
  std::int64_t vocab_size_ = 0, longest_ = 0;
};

/// The `count` best tokens of an answer to which rules were applied, the best first.
std::vector<TopToken> best_tokens(const Readout& readout, std::int64_t count);

}  // namespace btm
