// Texts of a command line as ids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "btm/evaluator/text_scorer.h"
#include "compat/tokenizer/text_codec.h"

namespace btm {

/// Sets `ids` to those of `text` after `context`, or returns why that cannot be: a text without
/// tokens, or one that is not UTF-8. White space at both ends is left out, as preprocess does. The
/// closing </s> is added where `scores_eos` is true.
///
/// The context and the text are encoded together, with a space between them unless one of them has
/// white space there. The text begins at the first token that differs from the context's own. A
/// token that spans the boundary so belongs to the text.
std::string encode_text(compat::TextCodec& codec, const std::string& context,
                        const std::string& text, bool scores_eos, TextToScore& ids);

/// Texts with words that the dictionary lacks.
class UnknownWords {
 public:
  UnknownWords() = default;
  /// What `codec` has read so far does not count.
  explicit UnknownWords(const compat::TextCodec& codec) : seen_(codec.unknown()) {}
  /// To be called after each text. `where` names it.
  void note(const compat::TextCodec& codec, const std::string& where);
  /// What to warn of in the end; "" when there was none.
  std::string summary() const;

 private:
  std::int64_t texts_ = 0, words_ = 0, seen_ = 0;
  std::string first_;
};

}  // namespace btm
