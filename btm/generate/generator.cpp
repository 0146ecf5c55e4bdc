#include "btm/generate/generator.h"

#include <algorithm>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>

#include "btm/mixing/row_tasks.h"

namespace btm {
namespace {

/// A row that is kept copies the block that it shares and writes, and so does the row that it is
/// made of.
constexpr std::int64_t kBlocksOfAFork = 2;
/// Common tokens for which a prompt waits until another one has read them.
constexpr std::size_t kWorthWaiting = 32;
/// Waiting prompts that are looked at in a step, for each that may join.
constexpr std::size_t kLookedAt = 4;

}  // namespace

Generator::Generator(Predictor& predictor, const Symbols& symbols, const GenerateLimits& limits)
    : predictor_(predictor),
      symbols_(symbols),
      limits_(limits),
      prefixes_(predictor, limits.prefixes) {
  limits_.batch = std::clamp<std::int64_t>(limits_.batch, 1, kMostTexts);
  limits_.prompt_tokens = std::max<std::size_t>(limits_.prompt_tokens, 1);
}

std::size_t Generator::submit(std::vector<std::int64_t> prompt, const GenerateOptions& options,
                              OnToken on_token) {
  for (const std::int64_t token : prompt)
    if (token < 0 || token >= predictor_.vocab_size() || token == symbols_.pad)
      throw std::invalid_argument("prompt: token " + std::to_string(token) + ", expected 0 to " +
                                  std::to_string(predictor_.vocab_size() - 1) + " without padding");
  Item item{submitted_, options.beam,
            std::make_unique<Continuation>(predictor_, symbols_, std::move(prompt), options,
                                           std::move(on_token)),
            false};
  waiting_.push_back(std::move(item));
  return submitted_++;
}

std::int64_t Generator::load() const {
  std::int64_t rows = 0;
  for (const Item& item : waiting_) rows += item.beam;
  for (const Item& item : joined_) rows += item.beam;
  return rows;
}

/// Tokens that a prompt's other rows may still take.
std::int64_t Generator::promised(const Item& item) const {
  return item.text->fork_tokens() +
         (limits_.prefixes > 0 ? kBlocksOfAFork * predictor_.block() : 0);
}

/// Takes a row for the prompt, from what others have read where that helps. What was kept gives
/// way.
bool Generator::join(Item& item, std::int64_t promised_to_others) {
  const OnRead keep = limits_.prefixes == 0 ? OnRead()
                                            : [this, text = item.text.get()](
                                                  Predictor::Row row, const Hypothesis& read) {
                                                prefixes_.keep(row, read, text->options());
                                              };
  do {
    const std::optional<ReadPrefix> prefix = prefixes_.find(*item.text);
    // The last token of the prefix is read again, and its block is copied.
    const std::int64_t length = prefix ? prefix->length : 0;
    const std::int64_t block = predictor_.block();
    const std::int64_t shared = std::max<std::int64_t>(length - 1, 0) / block * block;
    const std::int64_t needed = item.text->row_tokens() - shared + promised(item);
    if (predictor_.free_tokens() - promised_to_others < needed) continue;
    if (!item.text->open(prefix ? &*prefix : nullptr, keep)) continue;
    counts_.reused_tokens += length;
    return true;
  } while (prefixes_.drop_oldest());
  return false;
}

/// Whether a prompt that is being read will soon save this one more work than what is kept.
bool Generator::waits_for_prefix(const Item& item) const {
  if (limits_.prefixes == 0) return false;
  const std::size_t kept = prefixes_.longest(*item.text);
  return std::ranges::any_of(joined_, [&](const Item& other) {
    return other.text->reads() && reads_alike(other.text->options(), item.text->options()) &&
           common_prefix(other.text->prompt(), item.text->prompt()) >= kept + kWorthWaiting;
  });
}

/// Prompts join in their order, so that none waits for ever, but for those that wait for what
/// another one reads.
void Generator::admit() {
  std::int64_t rows = 0, promised_to_joined = 0;
  for (const Item& item : joined_) {
    rows += item.beam;
    promised_to_joined += promised(item);
  }
  const std::size_t most = kLookedAt * static_cast<std::size_t>(limits_.batch);
  std::size_t passed = 0;
  while (passed < std::min(waiting_.size(), most)) {
    Item& item = waiting_[passed];
    if (!joined_.empty() && rows + item.beam > limits_.batch) return;
    if (waits_for_prefix(item)) {
      ++passed;
      continue;
    }
    const bool joins = join(item, promised_to_joined);
    if (!joins && !joined_.empty()) return;
    if (joins) {
      rows += item.beam;
      promised_to_joined += promised(item);
      joined_.push_back(std::move(item));
    } else {
      ended_.push_back(
          {.prompt = item.number,
           .hypotheses = {},
           .error = "needs room for " + std::to_string(item.text->row_tokens() + promised(item)) +
                    " tokens, found room for " + std::to_string(predictor_.free_tokens())});
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(passed));
  }
}

void Generator::cancel(std::size_t prompt) {
  const auto is_it = [&](const Item& item) { return item.number == prompt; };
  std::erase_if(waiting_, is_it);
  std::erase_if(joined_, is_it);
  std::erase_if(ended_, [&](const Generated& ended) { return ended.prompt == prompt; });
}

std::vector<std::size_t> Generator::drop_joined() {
  std::vector<std::size_t> dropped;
  for (const Item& item : joined_)
    if (!item.text->done()) dropped.push_back(item.number);  // others are in ended_
  joined_.clear();
  prefixes_.clear();
  return dropped;
}

void Generator::count(const Predictor::Step& step) {
  ++counts_.steps;
  std::set<std::size_t> drawn;
  for (const Want& want : step.wants) {
    if (want.expert)
      drawn.insert(*want.expert);
    else if (!want.nothing())
      for (std::size_t i = 0; i < predictor_.experts(); ++i) drawn.insert(i);
  }
  counts_.expert_reads += static_cast<std::int64_t>(drawn.size());
}

std::vector<Generated> Generator::step() {
  if (ended_.empty()) {  // otherwise the step before has thrown
    admit();
    if (!joined_.empty()) advance();
  }
  return std::exchange(ended_, {});
}

void Generator::advance() {
  Predictor::Step step;
  std::vector<std::size_t> asked;
  std::size_t budget = limits_.prompt_tokens;
  for (const Item& item : joined_) {
    const bool reads = item.text->reads();
    asked.push_back(item.text->ask(step, budget));
    if (!reads) continue;
    budget -= asked.back();
    counts_.prompt_tokens += static_cast<std::int64_t>(asked.back());
  }
  count(step);
  std::vector<Readout> readouts;
  if (!step.tokens.empty()) readouts = predictor_.advance_each(step);
  answer(readouts, asked);
  for (const Item& item : joined_) {
    Continuation& text = *item.text;
    const std::int64_t before = text.new_tokens();
    text.go_on();
    counts_.new_tokens += text.new_tokens() - before;
    if (!text.done()) continue;
    Generated result{.prompt = item.number, .hypotheses = text.take_hypotheses(), .error = {}};
    if (result.hypotheses.empty()) result.error = "no token may follow";
    ended_.push_back(std::move(result));
  }
  std::erase_if(joined_, [](const Item& item) { return item.text->done(); });
}

/// Gives all texts their readouts, of which each has asked for so many, and looks for what follows
/// on all threads. Ends prompts for which a model has failed.
void Generator::answer(std::span<Readout> readouts, std::span<const std::size_t> asked) {
  std::vector<std::pair<Continuation*, std::size_t>> choices;
  std::size_t at = 0;
  for (std::size_t i = 0; i < joined_.size(); at += asked[i++]) {
    const auto own = readouts.subspan(at, asked[i]);
    const auto failed =
        std::ranges::find_if(own, [](const Readout& readout) { return !readout.fault.empty(); });
    if (failed != own.end()) {
      joined_[i].failed = true;
      ended_.push_back({joined_[i].number, {}, failed->fault, true});
      continue;
    }
    Continuation& text = *joined_[i].text;
    const std::size_t texts = text.answer(own);
    for (std::size_t k = 0; k < texts; ++k) choices.emplace_back(&text, k);
  }
  std::erase_if(joined_, [](const Item& item) { return item.failed; });
  for_each_row(choices.size(), [&](std::size_t i) { choices[i].first->choose(choices[i].second); });
}

}  // namespace btm
