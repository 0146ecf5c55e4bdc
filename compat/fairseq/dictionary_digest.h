// The digest of a dictionary, by which two dictionaries are compared. What is hashed:
// compat/fairseq/dictionary.md
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "compat/fairseq/dictionary.h"

namespace compat {

/// The key of a dictionary's digest in a checkpoint's dict, in safetensors metadata and in
/// manifests.
inline constexpr const char* kDictionaryKey = "dictionary_sha256";

/// SHA-256 (64 lower-case digits) of the words in the order of their ids, special symbols first,
/// each with "\n" after it. Counts, flags and the madeupwordNNNN at the end are left out: a model
/// has the same digest with and without padding.
std::string dictionary_sha256(const Dictionary& dictionary);

/// Whether `text` has the form of a digest.
bool is_dictionary_sha256(std::string_view text) noexcept;

/// The known facts about a dictionary.
struct KnownDictionary {
  std::string file;    ///< The dict.txt, or the file that stores the digest (a checkpoint, a
                       ///< manifest). For messages.
  std::string sha256;  ///< Empty when it is unknown.
  std::filesystem::path
      dict_txt;  ///< Where its words may be read. Used only while that file has the digest.
};

/// The digest of a dictionary. Unknown when it has only special symbols and padding.
KnownDictionary known_dictionary(const Dictionary& dictionary, const std::string& file);
KnownDictionary known_dictionary(const std::filesystem::path& dict_txt);

/// Returns when either digest is unknown or both are equal. Otherwise throws a FormatError about
/// `found`. It names the first line that differs when the words of both can be read, else the start
/// of both digests.
void check_same_dictionary(const KnownDictionary& found, const KnownDictionary& expected);

}  // namespace compat
