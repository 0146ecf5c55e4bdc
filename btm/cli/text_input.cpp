#include "btm/cli/text_input.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/tokenizer/text_codec.h"

namespace btm {
namespace {

/// Whether white space ends `left` or begins `right`.
bool has_space_between(std::string_view left, std::string_view right) {
  return compat::strip_right(left).size() < left.size() ||
         (!right.empty() && compat::strip(right).data() != right.data());
}

}  // namespace

std::string encode_text(compat::TextCodec& codec, const std::string& context,
                        const std::string& text, bool scores_eos, TextToScore& ids) {
  for (const std::string* const part : {&context, &text})
    if (const std::size_t bad = compat::first_invalid_utf8(*part); bad != std::string::npos)
      return compat::concat("is not UTF-8 (byte ", bad + 1, ")");
  if (compat::strip(text).empty()) return "is empty";
  ids = {};
  const std::string_view before = compat::strip(context);
  if (before.empty()) {
    ids.tokens = codec.encode(compat::strip(text));
  } else {
    ids.context = codec.encode(before);
    const std::string joined = context + (has_space_between(context, text) ? "" : " ") + text;
    ids.tokens = codec.encode(compat::strip(joined));
    const auto boundary = std::ranges::mismatch(ids.context, ids.tokens);
    ids.context.erase(boundary.in1, ids.context.end());
    ids.tokens.erase(ids.tokens.begin(), boundary.in2);
  }
  if (ids.tokens.empty()) return "has no tokens";
  if (scores_eos) ids.tokens.push_back(codec.dictionary().eos());
  return {};
}

void UnknownWords::note(const compat::TextCodec& codec, const std::string& where) {
  const std::int64_t now = codec.unknown(), added = now - std::exchange(seen_, now);
  if (added == 0) return;
  if (texts_++ == 0) first_ = where;
  words_ += added;
}

std::string UnknownWords::summary() const {
  if (texts_ == 0) return {};
  return compat::concat("the dictionary lacks ", compat::grouped(words_),
                        words_ == 1 ? " word of " : " words of ", compat::grouped(texts_),
                        texts_ == 1 ? " text" : " texts",
                        ", which are read as <unk>: the first is ", first_);
}

}  // namespace btm
