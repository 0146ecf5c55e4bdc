#include "btm/generate/continuation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

namespace btm {
namespace {

/// Tokens of a prompt that are read at once. Others wait for as long; and each distribution over
/// the dictionary takes memory.
constexpr std::size_t kBlock = 512, kBlockOfDistributions = 16;
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

std::vector<std::int64_t> cut(std::vector<std::int64_t> prompt, std::int64_t longest) {
  if (static_cast<std::int64_t>(prompt.size()) > longest)
    prompt.resize(static_cast<std::size_t>(longest));
  return prompt;
}

double normalised(double total, std::size_t tokens, const GenerateOptions& options) {
  if (options.unnormalized || tokens == 0) return total;
  return total / std::pow(static_cast<double>(tokens), options.lenpen);
}

}  // namespace

Hypothesis part_of(const Hypothesis& text, std::size_t first, std::size_t last) {
  const auto some = [&](const auto& values) {
    const std::size_t to = std::min(values.size(), last), from = std::min(to, first);
    return std::remove_cvref_t<decltype(values)>(values.begin() + static_cast<std::ptrdiff_t>(from),
                                                 values.begin() + static_cast<std::ptrdiff_t>(to));
  };
  Hypothesis part;
  part.tokens = some(text.tokens);
  part.positional_scores = some(text.positional_scores);
  part.posterior = some(text.posterior);
  part.top = some(text.top);
  part.sample = text.sample;
  return part;
}

Continuation::Continuation(Predictor& predictor, const Symbols& symbols,
                           std::vector<std::int64_t> prompt, const GenerateOptions& options,
                           OnToken on_token)
    : predictor_(predictor),
      symbols_(symbols),
      options_(options),
      on_token_(std::move(on_token)),
      longest_(max_length(options, static_cast<std::int64_t>(prompt.size()))),
      rules_(options, symbols, predictor.vocab_size(), longest_) {
  check_options(options_);
  if (options_.min_len > longest_)
    throw std::invalid_argument("--min-len is above --max-len-a * tokens + --max-len-b");
  // A larger beam would need tokens that are never selected.
  options_.beam = std::min(options_.beam, std::max<std::int64_t>(predictor.vocab_size() - 1, 1));
  if (options_.sampling) options_.beam = options.beam;
  prompt_ = cut(std::move(prompt), longest_);
  to_read_ = prompt_;
  to_read_.insert(to_read_.begin(), symbols_.eos);
  std::ranges::reverse(to_read_);
}

Continuation::~Continuation() {
  if (opened_ && !to_read_.empty()) predictor_.close(first_row_);
  for (const Growing& text : growing_) predictor_.close(text.row);
}

std::int64_t Continuation::row_tokens() const {
  const std::int64_t tokens = std::min(longest_ + 1, predictor_.max_positions());
  const std::int64_t block = predictor_.block();
  return (tokens + block - 1) / block * block;
}

std::int64_t Continuation::fork_tokens() const { return (options_.beam - 1) * row_tokens(); }

bool Continuation::open(const ReadPrefix* prefix, OnRead on_read) {
  const std::optional<Predictor::Row> row =
      prefix != nullptr ? predictor_.fork_prefix(prefix->row, prefix->length, row_tokens())
                        : predictor_.open(row_tokens(), options_.mixture);
  if (!row) return false;
  first_row_ = *row;
  on_read_ = std::move(on_read);
  opened_ = true;
  if (options_.sampling)  // 2.5 kB each, which those that wait do not take
    for (std::size_t i = 0; i < static_cast<std::size_t>(options_.beam); ++i)
      random_.emplace_back(options_.sampling->seed, prompt_, i);
  if (prefix != nullptr) {
    to_read_.resize(to_read_.size() - static_cast<std::size_t>(prefix->length));
    read_ = prefix->read;
    if (options_.scores_prompt)
      for (const double score : read_.positional_scores) read_total_ += score;
  }
  if (one_expert())
    skip_prompt();
  else if (to_read_.size() == 1)
    begin_growing();
  return true;
}

/// All of the prompt is read but for the last token, which each hypothesis reads by itself.
void Continuation::begin_growing() {
  std::vector<std::int64_t> unread = std::exchange(to_read_, {});
  std::ranges::reverse(unread);
  if (on_read_) on_read_(first_row_, read_);
  if (!options_.continues) {
    predictor_.close(first_row_);
    Growing text;
    text.text = read_;
    text.text.stopped = true;
    text.total = read_total_;
    return finish(std::move(text));
  }
  const std::int64_t texts = options_.sampling ? options_.beam : 1;
  for (std::int64_t i = 0; i < texts; ++i) {
    Growing text;
    text.text = read_;
    text.text.sample = static_cast<std::size_t>(i);
    text.total = read_total_;
    text.row = i == 0 ? first_row_ : predictor_.fork(first_row_);
    text.unread = unread;
    growing_.push_back(std::move(text));
  }
}

/// Nothing of the prompt is read before an expert is drawn, which then reads it.
void Continuation::skip_prompt() {
  weights_ = predictor_.posterior(first_row_);
  read_.tokens = prompt_;
  read_.positional_scores.assign(prompt_.size(), kUnknown);
  if (mixes()) read_.posterior.assign(prompt_.size(), weights_);
  begin_growing();
}

std::size_t Continuation::ask(Predictor::Step& step, std::size_t budget) {
  const std::size_t before = step.tokens.size();
  if (!to_read_.empty()) {
    const std::size_t block = rules_.heats_prompt() ? kBlockOfDistributions : kBlock;
    const std::size_t asked = std::min({to_read_.size() - 1, block, budget});
    if (asked == 0) return 0;
    step.rows.push_back(first_row_);
    step.counts.push_back(static_cast<std::int64_t>(asked));
    for (std::size_t i = 0; i < asked; ++i) {
      const std::size_t place = to_read_.size() - 1 - i;
      step.tokens.push_back(to_read_[place]);
      step.wants.push_back(rules_.prompt(to_read_[place - 1]));
    }
  }
  for (Growing& text : growing_) {
    Want want = rules_.next(text.text.tokens, std::max(2 * options_.beam, options_.top));
    if (one_expert()) {
      want.expert = draw_index(weights_, random_.at(text.text.sample));
      text.text.experts.push_back(*want.expert);
    }
    step.rows.push_back(text.row);
    step.counts.push_back(static_cast<std::int64_t>(text.unread.size()));
    step.tokens.insert(step.tokens.end(), text.unread.begin(), text.unread.end());
    step.wants.resize(step.tokens.size() - 1);
    step.wants.push_back(want);
  }
  return step.tokens.size() - before;
}

std::size_t Continuation::answer(std::span<Readout> readouts) {
  if (!to_read_.empty()) {
    read_prompt(readouts);
    return 0;
  }
  std::size_t fed = 0;
  for (const Growing& text : growing_) {
    fed += text.unread.size();
    choices_.push_back({std::move(readouts[fed - 1]), {}, {}});
    if (one_expert()) choices_.back().readout.weights = weights_;
  }
  return choices_.size();
}

void Continuation::choose(std::size_t i) {
  const Hypothesis& text = growing_[i].text;
  Choice& choice = choices_[i];
  rules_.apply(choice.readout, text.tokens);
  if (options_.top > 0) choice.top = best_tokens(choice.readout, options_.top);
  if (!options_.sampling) {
    choice.tokens = best_tokens(choice.readout, 2 * options_.beam);
    return;
  }
  const TopToken token = draw_token(choice.readout, *options_.sampling, random_.at(text.sample));
  if (token.token >= 0) choice.tokens = {token};
}

void Continuation::go_on() {
  if (choices_.empty()) return;
  std::vector<Growing> next;
  if (options_.sampling)
    sample(next);
  else
    search(next);
  choices_.clear();
  give_rows(next);
}

void Continuation::read_prompt(std::span<Readout> readouts) {
  for (Readout& readout : readouts) {
    to_read_.pop_back();
    const std::int64_t token = to_read_.back();
    const double score = options_.scores_prompt ? rules_.prompt_score(readout, token) : kUnknown;
    read_.tokens.push_back(token);
    read_.positional_scores.push_back(score);
    if (options_.scores_prompt) read_total_ += score;
    if (mixes()) read_.posterior.push_back(std::move(readout.weights));
    if (options_.top > 0) read_.top.push_back(std::move(readout.top));
  }
  if (to_read_.size() == 1) begin_growing();
}

Continuation::Growing Continuation::extended(Growing text, const TopToken& token,
                                             const Choice& choice) {
  ++new_tokens_;
  text.text.tokens.push_back(token.token);
  text.text.positional_scores.push_back(token.log_prob);
  if (mixes()) text.text.posterior.push_back(choice.readout.weights);
  if (options_.top > 0) text.text.top.push_back(choice.top);
  text.total += token.log_prob;
  text.unread = {token.token};
  return text;
}

/// Whether the text goes on behind its last token. Shows that token.
bool Continuation::passes_on(const Growing& text) {
  if (!streams() || !on_token_) return true;
  return on_token_(text.text);
}

void Continuation::finish(Growing text) {
  const std::size_t scored =
      text.text.tokens.size() - (one_expert() ? prompt_.size() : std::size_t{0});
  text.text.score = normalised(text.total, scored, options_);
  finished_.push_back(std::move(text.text));
}

void Continuation::sample(std::vector<Growing>& next) {
  for (std::size_t i = 0; i < growing_.size(); ++i) {
    if (choices_[i].tokens.empty()) continue;
    const TopToken& token = choices_[i].tokens.front();
    Growing longer = extended(std::move(growing_[i]), token, choices_[i]);
    const bool ends = token.token == symbols_.eos;
    longer.text.stopped = !passes_on(longer) && !ends;
    if (ends || longer.text.stopped)
      finish(std::move(longer));
    else
      next.push_back(std::move(longer));
  }
}

/// The 2 * beam best continuations of all hypotheses, the best first.
std::vector<Continuation::Candidate> Continuation::candidates() const {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < growing_.size(); ++i)
    for (const TopToken& token : choices_[i].tokens)
      candidates.push_back({i, token, growing_[i].total + token.log_prob});
  std::ranges::stable_sort(candidates, std::ranges::greater{}, &Candidate::total);
  candidates.resize(std::min(candidates.size(), static_cast<std::size_t>(2 * options_.beam)));
  return candidates;
}

/// fairseq's step: an end-of-sentence symbol ends a hypothesis where it is among the `beam` best
/// candidates; the best candidates without one go on, `beam` of them. The search ends with `beam`
/// ended hypotheses, whatever others could still become.
void Continuation::search(std::vector<Growing>& next) {
  const std::vector<Candidate> all = candidates();
  const auto beam = static_cast<std::size_t>(options_.beam);
  for (std::size_t i = 0; i < all.size() && finished_.size() < beam; ++i) {
    const Candidate& best = all[i];
    const bool ends = best.token.token == symbols_.eos;
    if (ends ? i >= beam : next.size() == beam) continue;
    Growing& parent = growing_[best.parent];  // of one hypothesis, one text comes
    Growing text =
        extended(beam == 1 ? std::move(parent) : parent, best.token, choices_[best.parent]);
    if (!ends) {
      next.push_back(std::move(text));
      continue;
    }
    passes_on(text);
    finish(std::move(text));
  }
  if (finished_.size() == beam) next.clear();
  if (beam > 1) return;
  for (Growing& text : next) {
    text.text.stopped = !passes_on(text);
    if (text.text.stopped) finish(text);
  }
  std::erase_if(next, [](const Growing& text) { return text.text.stopped; });
}

/// The first text that follows a row takes it; others get a copy. Rows without a text are closed.
void Continuation::give_rows(std::vector<Growing>& next) {
  std::set<Predictor::Row> taken;
  for (Growing& text : next)
    if (!taken.insert(text.row).second) text.row = predictor_.fork(text.row);
  for (const Growing& text : growing_)
    if (!taken.contains(text.row)) predictor_.close(text.row);
  growing_ = std::move(next);
}

std::vector<Hypothesis> Continuation::take_hypotheses() {
  std::ranges::stable_sort(finished_, std::ranges::greater{}, &Hypothesis::score);
  return std::exchange(finished_, {});
}

}  // namespace btm
