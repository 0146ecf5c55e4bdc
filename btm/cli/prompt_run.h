// Takes prompts as text, and gives their results to an output as they end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "btm/cli/generate_output.h"
#include "btm/cli/text_input.h"
#include "btm/generate/generator.h"
#include "btm/generate/growing_text.h"
#include "compat/tokenizer/text_codec.h"

namespace btm {

struct PromptOptions {
  GenerateOptions generate;
  std::int64_t nbest = 1;        ///< Hypotheses of each prompt in the results.
  std::int64_t prefix_size = 0;  ///< Above 0: so many tokens of a prompt are used.
  std::int64_t batch = 16;       ///< Hypotheses that grow at once.
  std::vector<std::string> stops;
};

class PromptRun {
 public:
  /// Called with lines that say what is wrong with a prompt.
  using Warn = std::function<void(const std::string& line)>;
  /// Called with parts of a text as it grows, that of its prompt first. At its end, "\n".
  using Show = std::function<void(const std::string& text)>;

  /// With `show`, results are not printed otherwise, and one prompt is continued at a time.
  PromptRun(Predictor& predictor, compat::TextCodec& codec, const PromptOptions& options,
            GenerateOutput& output, Warn warn, Show show = {});

  /// Queues a prompt. `where` names it in messages. A prompt that cannot be used gives a result
  /// with an error.
  void add(const std::string& prompt, const std::string& where);
  /// Advances all prompts by a token.
  void advance();
  bool busy() const { return generator_.busy(); }
  /// Whether more prompts would let it work better.
  bool hungry() const;
  /// Whether a prompt could not be used.
  bool failed() const noexcept { return failed_; }
  /// Whether a text ended in a loop.
  bool looped() const noexcept { return looped_; }
  const UnknownWords& unknown() const noexcept { return unknown_; }
  const GenerateCounts& counts() const noexcept { return generator_.counts(); }

 private:
  /// A hypothesis' text as it grows.
  struct Text {
    GrowingText text;
    std::string shown;
  };
  struct Prompt {
    std::size_t number = 0;
    std::string where;
    PromptResult result;
    std::vector<Text> growing;
  };

  static std::string text_of(const Text& text) { return text.text.before() + text.shown; }
  void submit(std::unique_ptr<Prompt> prompt);
  bool follow(Prompt& prompt, const Hypothesis& hypothesis);
  void fail(Prompt& prompt, const std::string& error);
  void finish(Prompt& prompt, std::vector<Hypothesis> hypotheses);
  bool follows() const { return show_ || !options_.stops.empty(); }

  compat::TextCodec& codec_;
  UnknownWords unknown_;
  PromptOptions options_;
  std::int64_t eos_ = 0;
  GenerateOutput& output_;
  Warn warn_;
  Show show_;
  Generator generator_;
  std::size_t added_ = 0;
  std::map<std::size_t, std::unique_ptr<Prompt>> running_;  ///< By the generator's number.
  bool failed_ = false, looped_ = false;
};

}  // namespace btm
