#include "compat/dictionary_digest.h"

#include <algorithm>

#include "compat/byte_reader.h"
#include "compat/error.h"
#include "compat/sha256.h"

namespace compat {
namespace {

constexpr std::size_t kShortDigest = 12;
constexpr std::int64_t kWordsBeforeFirstLine = 4;

bool is_padding(std::string_view word) {
  constexpr std::string_view kPadding = "madeupword";
  if (!word.starts_with(kPadding)) return false;
  word.remove_prefix(kPadding.size());
  return word.size() >= 4 && word.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Number of words without the padding at the end.
std::int64_t words_of(const Dictionary& dictionary) {
  std::int64_t size = dictionary.size();
  while (size > kWordsBeforeFirstLine && is_padding(dictionary.symbol(size - 1))) --size;
  return size;
}

std::string shown(const std::string& file) { return printable(file, 4096); }

[[noreturn]] void throw_first_difference(const KnownDictionary& found, const KnownDictionary& expected) {
  const std::int64_t ours = words_of(*found.words), theirs = words_of(*expected.words);
  std::int64_t id = 0;
  while (id < std::min(ours, theirs) && found.words->symbol(id) == expected.words->symbol(id)) ++id;
  const std::string line = "line " + std::to_string(id - kWordsBeforeFirstLine + 1);
  const auto word = [&](const Dictionary& dictionary, std::int64_t size) {
    return id < size ? "'" + printable(dictionary.symbol(id)) + "'" : "the end";
  };
  throw FormatError({found.file, line, {}}, word(*found.words, ours) + ", expected " + word(*expected.words, theirs) + " as in " +
                                                shown(expected.file) + ": another dictionary");
}

}  // namespace

std::string dictionary_sha256(const Dictionary& dictionary) {
  Sha256 sha;
  for (std::int64_t id = 0, size = words_of(dictionary); id < size; ++id) {
    sha.update(as_byte_span(dictionary.symbol(id)));
    sha.update(as_byte_span(std::string_view("\n")));
  }
  return sha.hex();
}

bool is_dictionary_sha256(std::string_view text) noexcept { return is_sha256_hex(text); }

KnownDictionary known_dictionary(const Dictionary& dictionary, std::string file) {
  return {std::move(file), dictionary_sha256(dictionary), &dictionary};
}

void check_same_dictionary(const KnownDictionary& found, const KnownDictionary& expected) {
  if (found.sha256.empty() || expected.sha256.empty() || found.sha256 == expected.sha256) return;
  if (found.words != nullptr && expected.words != nullptr) throw_first_difference(found, expected);
  throw FormatError({found.file, {}, {}}, "is of another dictionary (SHA-256 " + found.sha256.substr(0, kShortDigest) + "...) than " +
                                              shown(expected.file) + " (" + expected.sha256.substr(0, kShortDigest) +
                                              "...), expected the same words in the same order");
}

}  // namespace compat
