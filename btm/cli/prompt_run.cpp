#include "btm/cli/prompt_run.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "btm/generate/repetition.h"
#include "compat/base/error.h"

namespace btm {

PromptRun::PromptRun(Predictor& predictor, compat::TextCodec& codec, const PromptOptions& options,
                     GenerateOutput& output, Warn warn, Show show)
    : codec_(codec),
      unknown_(codec),
      options_(options),
      eos_(codec.dictionary().eos()),
      output_(output),
      warn_(std::move(warn)),
      show_(std::move(show)),
      generator_(predictor, symbols_of(codec.dictionary()), {.batch = options.batch}) {}

bool PromptRun::hungry() const {
  return show_ ? !generator_.busy() : generator_.load() < 2 * options_.batch;
}

void PromptRun::add(const std::string& prompt, const std::string& where) {
  auto added = std::make_unique<Prompt>();
  added->number = added_++;
  added->where = where;
  added->result.prompt = prompt;
  try {
    added->result.tokens = codec_.encode(prompt);
    unknown_.note(codec_, where);
  } catch (const compat::FormatError& error) {
    return fail(*added, error.what());
  } catch (const compat::UnsupportedError& error) {
    return fail(*added, error.what());
  }
  submit(std::move(added));
}

void PromptRun::submit(std::unique_ptr<Prompt> prompt) {
  std::vector<std::int64_t>& tokens = prompt->result.tokens;
  const auto prefix = static_cast<std::size_t>(options_.prefix_size);
  if (prefix > 0 && tokens.size() > prefix) tokens.resize(prefix);
  const auto longest = static_cast<std::size_t>(
      max_length(options_.generate, static_cast<std::int64_t>(tokens.size())));
  if (tokens.size() > longest)
    warn_(prompt->where + ": has " + std::to_string(tokens.size()) +
          " tokens, of which the first " + std::to_string(longest) +
          " are used: --max-len-a and --max-len-b count the prompt");
  OnToken on_token;
  if (follows()) {
    const std::span before(tokens.data(), std::min(tokens.size(), longest));
    for (std::int64_t i = 0; i < options_.generate.beam; ++i)
      prompt->growing.push_back({GrowingText(codec_, before, StopStrings(options_.stops)), {}});
    on_token = [this, text = prompt.get()](const Hypothesis& hypothesis) {
      return follow(*text, hypothesis);
    };
    if (show_ && codec_.is_stepwise()) show_(prompt->growing.front().text.before());
  }
  try {
    const std::size_t number = generator_.submit(tokens, options_.generate, std::move(on_token));
    running_.emplace(number, std::move(prompt));
  } catch (const std::invalid_argument& error) {  // of its length: --min-len, --max-len-a
    fail(*prompt, error.what());
  }
}

/// Whether the text goes on.
bool PromptRun::follow(Prompt& prompt, const Hypothesis& hypothesis) {
  Text& text = prompt.growing.at(hypothesis.sample);
  const std::int64_t token = hypothesis.tokens.back();
  const std::string more = token == eos_ ? text.text.finish() : text.text.push(token);
  if (show_ && codec_.is_stepwise()) show_(more);
  text.shown += more;
  return !text.text.stopped();
}

void PromptRun::advance() {
  for (Generated& ended : generator_.step()) {
    auto found = running_.extract(ended.prompt);
    Prompt& prompt = *found.mapped();
    if (ended.error.empty())
      finish(prompt, std::move(ended.hypotheses));
    else
      fail(prompt, ended.error);
  }
}

void PromptRun::fail(Prompt& prompt, const std::string& error) {
  failed_ = true;
  prompt.result.error = error;
  warn_("error: " + prompt.where + ": " + error);
  if (!show_) output_.add(prompt.number, std::move(prompt.result));
}

void PromptRun::finish(Prompt& prompt, std::vector<Hypothesis> hypotheses) {
  for (const Hypothesis& hypothesis : hypotheses) {
    std::span<const std::int64_t> tokens = hypothesis.tokens;
    if (!tokens.empty() && tokens.back() == eos_) tokens = tokens.first(tokens.size() - 1);
    looped_ = looped_ || ends_in_loop(tokens);
  }
  if (show_) return show_(codec_.is_stepwise() ? "\n" : text_of(prompt.growing.front()) + "\n");
  hypotheses.resize(std::min(hypotheses.size(), static_cast<std::size_t>(options_.nbest)));
  for (const Hypothesis& hypothesis : hypotheses) {
    prompt.result.pieces.push_back(compat::pieces_of(codec_, hypothesis.tokens));
    const bool followed = !prompt.growing.empty();
    prompt.result.texts.push_back(followed ? text_of(prompt.growing.at(hypothesis.sample))
                                           : codec_.decode(hypothesis.tokens));
  }
  prompt.result.hypotheses = std::move(hypotheses);
  output_.add(prompt.number, std::move(prompt.result));
}

}  // namespace btm
