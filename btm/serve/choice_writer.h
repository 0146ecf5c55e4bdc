// Writes the choices of an answer as JSON: texts with what is known of their tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "btm/serve/completion_job.h"
#include "compat/tokenizer/text_codec.h"

namespace btm {

/// What a request wants to know of a text.
struct ChoiceStyle {
  bool echo = false;                     ///< The prompt, too.
  std::optional<std::int64_t> logprobs;  ///< So many of the most probable tokens.
  bool posterior = false;
  const std::vector<std::string>* experts = nullptr;  ///< [E] whose weights these are.
};

/// One choice, whole or in parts. Offsets count code points from the prompt's beginning; with
/// --tokenizer moses those of the text before detokenizing. Tokens have the names of the
/// dictionary's symbols, which differ from each other.
class ChoiceWriter {
 public:
  /// `begun`: the client's prompt began with the symbol with which every text begins.
  ChoiceWriter(const compat::TextCodec& codec, const ChoiceStyle& style,
               const std::vector<std::int64_t>& prompt, bool begun);

  /// The JSON of the next part. `index` is the choice's number in its answer.
  nlohmann::ordered_json write(const WrittenPart& part, std::size_t index);

 private:
  struct Columns;
  void add_begin(Columns& columns);
  void add_token(Columns& columns, const WrittenPart& part, std::size_t i, bool last);
  void cut_stop(Columns& columns, const WrittenPart& part) const;
  nlohmann::ordered_json top_json(const WrittenPart& part, std::size_t i) const;
  const std::string& symbol(std::int64_t token) const;

  const compat::TextCodec* codec_;
  ChoiceStyle style_;
  bool begun_;
  compat::TextStream pieces_;
  std::int64_t offset_ = 0;
  bool first_part_ = true, first_token_ = true;
};

}  // namespace btm
