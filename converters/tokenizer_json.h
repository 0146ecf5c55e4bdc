// Hugging Face's tokenizer.json: the parts that this program writes, and what they make of a text.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace converters {

/// A regular expression for characters that are none of `known`: "[^\x{61}-\x{7a}]".
std::string other_characters(const std::set<std::uint32_t>& known);

/// Spaces at both ends of a text. (The library's Strip takes other white space off as well.)
inline constexpr const char* kOuterSpaces = "\\A +| +\\z";

/// Encodes as the library tokenizers does with a tokenizer.json of GPT-2's byte-level BPE, or of a
/// BPE or unigram model behind Metaspace. Texts must be in normal form: a Precompiled normalizer is
/// taken to leave them as they are. Written for proofs, not for speed.
class TokenizerJson {
 public:
  /// FormatError (naming `file`) for text that is no such tokenizer.json.
  TokenizerJson(std::string_view json, const std::string& file);
  ~TokenizerJson();
  TokenizerJson(const TokenizerJson&) = delete;
  TokenizerJson& operator=(const TokenizerJson&) = delete;

  std::vector<std::int64_t> encode(std::string_view text) const;
  /// Whether a unigram model finds both equally good (their scores differ by rounding only).
  bool is_tie(const std::vector<std::int64_t>& one, const std::vector<std::int64_t>& other) const;
  /// Of the model's vocabulary; -1 for none.
  std::int64_t id_of(const std::string& token) const;
  /// The tokens of one word, without the look-up of whole words (ignore_merges).
  std::vector<std::int64_t> merged(std::string_view word) const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

/// The code points of UTF-8 text, each with its bytes.
std::vector<std::pair<std::uint32_t, std::string_view>> characters_of(std::string_view text);

}  // namespace converters
