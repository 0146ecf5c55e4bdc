// The texts that models of a run wrote, in its report: which expert speaks at which word.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "btm/report/html_page.h"
#include "btm/run/plan.h"

namespace btm {

/// A prompt's best text: a line of `btm generate --format jsonl`.
struct GeneratedText {
  std::string prompt, text;
  std::string error;                           ///< Why there is no text.
  std::vector<std::string> pieces;             ///< The text of each token.
  std::vector<std::string> experts;            ///< [E] names; none for one model.
  std::vector<std::vector<double>> posterior;  ///< [tokens][E]
};

/// FormatError with the line that is no result of btm generate.
std::vector<GeneratedText> read_generated_texts(const std::filesystem::path& file);

/// The words of a text, each in the colour of the expert with the most weight.
std::vector<TextPart> speaking_experts(const GeneratedText& text);

/// A part of the report for each prompt: the text of the seed model, of the expert that the
/// ensemble believes most, and of the ensemble, with a picture of its posterior. `output` is the
/// run's folder. FormatError and IoError for the step's files.
void add_generated_texts(HtmlPage& page, const Plan& plan, const std::filesystem::path& output);

}  // namespace btm
