#include "btm/generate/token_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "btm/mixing/mixed_logits.h"

namespace btm {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

/// Tokens that would end a sequence of `size` tokens which `text` has already. Tokens before the
/// text are not part of it.
void add_repeating(std::span<const std::int64_t> text, std::int64_t size,
                   std::vector<std::int64_t>& tokens) {
  const auto before = static_cast<std::size_t>(size - 1);
  if (size <= 0 || text.size() <= before) return;
  const auto last = text.last(before);
  for (std::size_t i = 0; i + before < text.size(); ++i)
    if (std::ranges::equal(text.subspan(i, before), last)) tokens.push_back(text[i + before]);
}

}  // namespace

Symbols symbols_of(const compat::Dictionary& dictionary) {
  return {dictionary.pad(), dictionary.eos(), dictionary.unk()};
}

TokenRules::TokenRules(const GenerateOptions& options, const Symbols& symbols,
                       std::int64_t vocab_size, std::int64_t longest)
    : options_(options), symbols_(symbols), vocab_size_(vocab_size), longest_(longest) {
  // An end-of-sentence symbol that one expert may not draw would change the distribution.
  if (options_.sampling && options_.sampling->one_expert_per_token) options_.min_len = 0;
}

bool TokenRules::is_full(std::span<const std::int64_t> text) const {
  return static_cast<std::int64_t>(text.size()) >= longest_;
}

std::vector<std::int64_t> TokenRules::forbidden(std::span<const std::int64_t> text) const {
  std::vector<std::int64_t> tokens{symbols_.pad};
  if (static_cast<std::int64_t>(text.size()) < options_.min_len) tokens.push_back(symbols_.eos);
  add_repeating(text, options_.block_ngrams, tokens);
  std::ranges::sort(tokens);
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

Want TokenRules::next(std::span<const std::int64_t> text, std::int64_t count) const {
  Want want;
  want.temperature = options_.temperature;
  want.expert = options_.expert;
  const bool all =
      options_.sampling && (options_.sampling->topk <= 0 || options_.sampling->topp > 0);
  if (is_full(text)) {
    if (options_.temperature == 1)
      want.target = symbols_.eos;
    else
      want.distribution = true;
    return want;
  }
  // Forbidden tokens may be among the best. A penalty moves the unknown symbol down past others; a
  // bonus moves it up from wherever it is.
  const std::int64_t best = options_.sampling && !all ? options_.sampling->topk : count;
  const std::int64_t top =
      std::min(best, vocab_size_) + static_cast<std::int64_t>(forbidden(text).size()) + 1;
  if (all || options_.unkpen < 0 || top >= vocab_size_)
    want.distribution = true;
  else
    want.top = top;
  return want;
}

bool TokenRules::heats_prompt() const {
  return options_.scores_prompt && options_.heats_prompt && options_.temperature != 1;
}

Want TokenRules::prompt(std::int64_t token) const {
  Want want;
  want.expert = options_.expert;
  if (!options_.scores_prompt) return want;
  want.temperature = heats_prompt() ? options_.temperature : 1;
  want.top = options_.top;
  if (!heats_prompt())
    want.target = token;
  else
    want.distribution = true;  // scores of targets are those of temperature 1
  return want;
}

double TokenRules::prompt_score(const Readout& readout, std::int64_t token) const {
  double log_prob = readout.distribution.empty()
                        ? readout.log_prob
                        : readout.distribution.at(static_cast<std::size_t>(token));
  // The scores of a target and of the most probable tokens may differ in their last bits. Whoever
  // compares the two finds the same number, or a smaller one for a token that is not among them.
  const auto found = std::ranges::find(readout.top, token, &TopToken::token);
  if (found != readout.top.end())
    log_prob = found->log_prob;
  else if (!readout.top.empty())
    log_prob = std::fmin(static_cast<float>(log_prob), readout.top.back().log_prob);
  return token == symbols_.unk ? log_prob - options_.unkpen : log_prob;
}

void TokenRules::apply(Readout& readout, std::span<const std::int64_t> text) const {
  if (is_full(text)) {
    const double log_prob = readout.distribution.empty()
                                ? readout.log_prob
                                : readout.distribution.at(static_cast<std::size_t>(symbols_.eos));
    readout.top = {{symbols_.eos, static_cast<float>(log_prob)}};
    readout.distribution.clear();
    return;
  }
  const std::vector<std::int64_t> out = forbidden(text);
  const auto penalty = static_cast<float>(options_.unkpen);
  if (!readout.distribution.empty()) {
    for (const std::int64_t token : out)
      readout.distribution.at(static_cast<std::size_t>(token)) = kImpossible;
    readout.distribution.at(static_cast<std::size_t>(symbols_.unk)) -= penalty;
    return;
  }
  std::erase_if(readout.top, [&](const TopToken& top) {
    return std::ranges::binary_search(out, top.token) || top.log_prob == kImpossible;
  });
  for (TopToken& top : readout.top)
    if (top.token == symbols_.unk) top.log_prob -= penalty;
  if (penalty != 0) std::ranges::sort(readout.top, is_better);
}

std::vector<TopToken> best_tokens(const Readout& readout, std::int64_t count) {
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
  if (readout.distribution.empty())
    return {readout.top.begin(),
            readout.top.begin() + static_cast<std::ptrdiff_t>(std::min(size, readout.top.size()))};
  std::vector<TopToken> best = top_tokens(readout.distribution, static_cast<std::int64_t>(size));
  std::erase_if(best, [](const TopToken& token) { return token.log_prob == kImpossible; });
  return best;
}

}  // namespace btm
