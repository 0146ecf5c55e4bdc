// The text of a hypothesis while it grows: no character is cut, and a stop string ends it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "btm/generate/stop_strings.h"
#include "compat/tokenizer/text_codec.h"

namespace btm {

class GrowingText {
 public:
  /// The text follows that of `before`.
  GrowingText(const compat::TextCodec& codec, std::span<const std::int64_t> before,
              StopStrings stops)
      : stream_(codec, before), stops_(std::move(stops)) {}

  /// What may be shown after a token. Nothing comes after a stop string.
  std::string push(std::int64_t token) { return stops_.add(stream_.push(token)); }
  /// What was held back, at the end of the text.
  std::string finish() {
    std::string text = stops_.add(stream_.finish());
    if (!stops_.stopped()) text += stops_.rest();
    return text;
  }
  bool stopped() const noexcept { return stops_.stopped(); }
  /// The text that it follows: TextStream::before().
  const std::string& before() const noexcept { return stream_.before(); }

 private:
  compat::TextStream stream_;
  StopStrings stops_;
};

}  // namespace btm
