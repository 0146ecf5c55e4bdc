// Which dictionary a file was made with, and whether two are the same. What is hashed:
// compat/fairseq/dictionary.md
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "compat/fairseq/dictionary.h"

namespace compat {

/// Key of a checkpoint's dict, of safetensors metadata and of manifests under which a dictionary's
/// digest is kept.
inline constexpr const char* kDictionaryKey = "dictionary_sha256";

/// SHA-256 (64 lower-case digits) of the words in the order of their ids, each ended by "\n", the
/// special symbols first. Left out are counts, flags, and the madeupwordNNNN that pad the end:
/// models with and without padding have one dictionary.
std::string dictionary_sha256(const Dictionary& dictionary);

/// Whether `text` can be a digest.
bool is_dictionary_sha256(std::string_view text) noexcept;

/// What is known of a dictionary.
struct KnownDictionary {
  std::string
      file;  ///< The dict.txt, or what keeps the digest (a checkpoint, a manifest): for messages.
  std::string sha256;  ///< Empty: not known.
  std::filesystem::path
      dict_txt;  ///< Where its words may be read: used only if what is there still has the digest.
};

/// Not known where there are no words but the special ones and padding.
KnownDictionary known_dictionary(const Dictionary& dictionary, const std::string& file);
KnownDictionary known_dictionary(const std::filesystem::path& dict_txt);

/// Nothing where either digest is not known or both are equal. Otherwise FormatError about `found`:
/// with the first line that differs where the words of both can be read, else with both digests,
/// short.
void check_same_dictionary(const KnownDictionary& found, const KnownDictionary& expected);

}  // namespace compat
