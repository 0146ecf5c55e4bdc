#include "btm/generate/generator.h"

#include <algorithm>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>

namespace btm {

Generator::Generator(Predictor& predictor, const Symbols& symbols, std::int64_t batch)
    : predictor_(predictor), symbols_(symbols), batch_(std::max<std::int64_t>(batch, 1)) {}

std::size_t Generator::submit(std::vector<std::int64_t> prompt, const GenerateOptions& options,
                              OnToken on_token) {
  for (const std::int64_t token : prompt)
    if (token < 0 || token >= predictor_.vocab_size() || token == symbols_.eos ||
        token == symbols_.pad)
      throw std::invalid_argument("prompt: token " + std::to_string(token) + ", expected 0 to " +
                                  std::to_string(predictor_.vocab_size() - 1) +
                                  " without padding and end of sentence");
  Item item{submitted_, options.beam,
            std::make_unique<Continuation>(predictor_, symbols_, std::move(prompt), options,
                                           std::move(on_token))};
  waiting_.push_back(std::move(item));
  return submitted_++;
}

std::int64_t Generator::load() const {
  std::int64_t rows = 0;
  for (const Item& item : waiting_) rows += item.beam;
  for (const Item& item : joined_) rows += item.beam;
  return rows;
}

/// Prompts join in their order, so that none waits for ever.
void Generator::admit(std::vector<Generated>& ended) {
  std::int64_t rows = 0, promised = 0;
  for (const Item& item : joined_) {
    rows += item.beam;
    promised += item.text->fork_tokens();
  }
  while (!waiting_.empty()) {
    Item& item = waiting_.front();
    if (!joined_.empty() && rows + item.beam > batch_) return;
    const std::int64_t forks = item.text->fork_tokens(), row = item.text->row_tokens();
    const bool fits = predictor_.free_tokens() - promised >= row + forks && item.text->open();
    if (!fits && !joined_.empty()) return;
    if (fits) {
      rows += item.beam;
      promised += forks;
      joined_.push_back(std::move(item));
    } else {
      ended.push_back({item.number,
                       {},
                       "needs room for " + std::to_string(row + forks) +
                           " tokens, found room for " + std::to_string(predictor_.free_tokens())});
    }
    waiting_.pop_front();
  }
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
  std::vector<Generated> ended;
  admit(ended);
  if (joined_.empty()) return ended;
  Predictor::Step step;
  std::vector<std::size_t> asked;
  for (const Item& item : joined_) asked.push_back(item.text->ask(step));
  count(step);
  std::vector<Readout> readouts = predictor_.advance(step);
  std::size_t at = 0;
  for (std::size_t i = 0; i < joined_.size(); ++i) {
    Continuation& text = *joined_[i].text;
    const std::int64_t before = text.new_tokens();
    text.answer(std::span(readouts).subspan(at, asked[i]));
    at += asked[i];
    counts_.new_tokens += text.new_tokens() - before;
    if (!text.done()) continue;
    Generated result{joined_[i].number, text.take_hypotheses(), {}};
    if (result.hypotheses.empty()) result.error = "no token may follow";
    ended.push_back(std::move(result));
  }
  std::erase_if(joined_, [](const Item& item) { return item.text->done(); });
  return ended;
}

}  // namespace btm
