#include "btm/generate/prefix_cache.h"

#include <algorithm>
#include <utility>

namespace btm {
namespace {

/// What is known of the first `length` tokens.
Hypothesis beginning_of(const Hypothesis& read, std::size_t length, const GenerateOptions& wanted) {
  Hypothesis begun = part_of(read, 0, length);
  begun.top.resize(wanted.top > 0 ? length : 0);  // unscored tokens have a place, too
  return begun;
}

}  // namespace

std::size_t common_prefix(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

bool reads_alike(const GenerateOptions& read, const GenerateOptions& wanted) {
  if (read.expert != wanted.expert || read.mixture != wanted.mixture) return false;
  // The most probable tokens take all logits. The experts' scores, and with them their weights,
  // then differ in their last bits.
  const auto top = [](const GenerateOptions& options) {
    return options.scores_prompt ? options.top : 0;
  };
  if ((top(read) > 0) != (top(wanted) > 0)) return false;
  if (!wanted.scores_prompt) return true;
  const auto plain = [](const GenerateOptions& options) {
    return !options.heats_prompt || options.temperature == 1;
  };
  // Which tokens are among the most probable decides from where a score comes: see
  // TokenRules::prompt_score().
  return read.scores_prompt && plain(read) && plain(wanted) && read.unkpen == wanted.unkpen &&
         read.top == wanted.top;
}

PrefixCache::Best PrefixCache::best(const Continuation& text) const {
  Best best{kept_.end(), 0};
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    if (!reads_alike(kept->options, text.options())) continue;
    // The row begins with the end-of-sentence symbol, and its last token was not read. After the
    // common tokens, what is said of the next one is needed.
    const std::size_t common = common_prefix(kept->read.tokens, text.prompt());
    if (common > best.length) best = {kept, common};
  }
  return best;
}

std::optional<ReadPrefix> PrefixCache::find(const Continuation& text) {
  const auto [kept, length] = best(text);
  if (length == 0) return std::nullopt;
  kept_.splice(kept_.begin(), kept_, kept);
  return ReadPrefix{kept->row, static_cast<std::int64_t>(length),
                    beginning_of(kept->read, length, text.options())};
}

void PrefixCache::keep(Predictor::Row row, const Hypothesis& read, const GenerateOptions& options) {
  if (read.tokens.empty() || most_ == 0) return;
  for (auto kept = kept_.begin(); kept != kept_.end();) {
    const std::size_t common = common_prefix(kept->read.tokens, read.tokens);
    if (common == read.tokens.size() && reads_alike(kept->options, options)) return;
    const bool replaced = common == kept->read.tokens.size() && reads_alike(options, kept->options);
    if (replaced) predictor_.close(kept->row);
    kept = replaced ? kept_.erase(kept) : std::next(kept);
  }
  const auto length = static_cast<std::int64_t>(read.tokens.size());
  const auto own = predictor_.fork_prefix(row, length, length);
  if (!own) return;
  kept_.push_front({*own, read, options});
  while (kept_.size() > most_) drop_oldest();
}

bool PrefixCache::drop_oldest() {
  if (kept_.empty()) return false;
  predictor_.close(kept_.back().row);
  kept_.pop_back();
  return true;
}

void PrefixCache::clear() {
  while (drop_oldest()) {
  }
}

}  // namespace btm
