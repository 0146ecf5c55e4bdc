// A cache of the tokens of words.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "compat/tokenizer/word_map.h"

namespace compat {

/// A cache that is cleared when it holds 65,536 words.
class TokenCache {
 public:
  /// Appends the tokens of `word` to `out`. `encode(word, out)` computes them the first time, and
  /// every time for words of more than 64 bytes.
  template <class Encode>
  void append(std::string_view word, std::vector<std::int32_t>& out, Encode&& encode) {
    if (word.size() > kLongest) return encode(word, out);
    if (const Range* const known = words_.find(word)) {
      const auto from = ids_.begin() + known->first;
      out.insert(out.end(), from, from + known->count);
      return;
    }
    const std::size_t start = out.size();
    encode(word, out);
    if (words_.size() >= kMostWords) words_.clear(), ids_.clear();
    words_.insert(word, {static_cast<std::uint32_t>(ids_.size()),
                         static_cast<std::uint32_t>(out.size() - start)});
    ids_.insert(ids_.end(), out.begin() + static_cast<std::ptrdiff_t>(start), out.end());
  }

 private:
  static constexpr std::size_t kLongest = 64, kMostWords = std::size_t{1} << 16;
  struct Range {
    std::uint32_t first = 0, count = 0;  ///< Position in ids_.
  };

  WordMap<Range> words_;
  std::vector<std::int32_t> ids_;
};

}  // namespace compat
