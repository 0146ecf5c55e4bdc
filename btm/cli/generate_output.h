// What btm generate prints: texts for people, rows, or JSON.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "btm/cli/text_format.h"
#include "btm/generate/continuation.h"

namespace btm {

/// A prompt and what became of it.
struct PromptResult {
  std::string prompt;
  std::vector<std::int64_t> tokens;  ///< Of the prompt.
  std::vector<Hypothesis> hypotheses;
  std::vector<std::string> texts;                ///< Of the hypotheses, with the prompt.
  std::vector<std::vector<std::string>> pieces;  ///< Of the hypotheses: the text of each token.
  std::string error;                             ///< Why there are none.
};

class GenerateOutput {
 public:
  /// `experts`: the names of an ensemble's experts; empty for one model.
  GenerateOutput(std::ostream& out, TextFormat format, std::vector<std::string> experts);

  /// The result of prompt `number`, counted from 0. Results are printed in the order of the
  /// numbers: one that comes early waits for those before it.
  void add(std::size_t number, PromptResult result);
  /// Prints what ends a document.
  void end();

 private:
  void print(std::size_t number, const PromptResult& result);
  void print_table(const PromptResult& result);
  void print_rows(std::size_t number, const PromptResult& result);

  std::ostream& out_;
  TextFormat format_;
  std::vector<std::string> experts_;
  std::map<std::size_t, PromptResult> early_;
  std::size_t next_ = 0;
};

}  // namespace btm
