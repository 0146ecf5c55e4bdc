// Reads Hugging Face's tokenizer.json, as far as this program writes it, and encodes texts with it.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace converters {

/// A regular expression for all characters but those in `known`: "[^\x{61}-\x{7a}]".
std::string characters_except(const std::set<std::uint32_t>& known);

/// Spaces at both ends of a text. (The library's Strip removes other white space as well.)
inline constexpr const char* kOuterSpaces = "\\A +| +\\z";

/// Encodes like the library tokenizers with a tokenizer.json of GPT-2's byte-level BPE, or of a BPE
/// or unigram model after Metaspace. Texts must be in normal form: a Precompiled normalizer is not
/// applied. Meant for proofs, not for speed.
class TokenizerJson {
 public:
  /// FormatError that names `file` for other text.
  TokenizerJson(std::string_view json, const std::string& file);
  ~TokenizerJson();
  TokenizerJson(const TokenizerJson&) = delete;
  TokenizerJson& operator=(const TokenizerJson&) = delete;

  std::vector<std::int64_t> encode(std::string_view text) const;
  /// Whether both are equally good for a unigram model: their scores differ only by rounding.
  bool is_tie(const std::vector<std::int64_t>& one, const std::vector<std::int64_t>& other) const;
  /// The id of a token of the model's vocabulary. -1 when there is none.
  std::int64_t id_of(const std::string& token) const;
  /// The tokens that merges give for one word, without looking the whole word up (ignore_merges).
  std::vector<std::int64_t> merged(std::string_view word) const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

/// The code points of UTF-8 text, each with its bytes.
std::vector<std::pair<std::uint32_t, std::string_view>> characters_of(std::string_view text);

}  // namespace converters
