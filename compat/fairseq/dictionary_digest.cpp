#include "compat/fairseq/dictionary_digest.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/sha256.h"

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

/// Number of words before the padding at the end.
std::int64_t words_of(const Dictionary& dictionary) {
  std::int64_t size = dictionary.size();
  while (size > kWordsBeforeFirstLine && is_padding(dictionary.symbol(size - 1))) --size;
  return size;
}

std::string shown(const std::string& file) { return printable(file, 4096); }

/// The words of a digest's dictionary, if dict.txt can still be read and still matches.
std::optional<Dictionary> words_at_hand(const KnownDictionary& known) {
  std::error_code ignored;
  if (known.dict_txt.empty() || !std::filesystem::is_regular_file(known.dict_txt, ignored))
    return std::nullopt;
  try {
    Dictionary dictionary = Dictionary::load(known.dict_txt);
    if (dictionary_sha256(dictionary) == known.sha256) return dictionary;
  } catch (const std::runtime_error&) {  // the words only explain an error: without them the
                                         // message has the digests
  }
  return std::nullopt;
}

[[noreturn]] void throw_first_difference(const KnownDictionary& found,
                                         const Dictionary& found_words,
                                         const KnownDictionary& expected,
                                         const Dictionary& expected_words) {
  const std::int64_t ours = words_of(found_words), theirs = words_of(expected_words);
  std::int64_t id = 0;
  while (id < std::min(ours, theirs) && found_words.symbol(id) == expected_words.symbol(id)) ++id;
  const auto word = [&](const Dictionary& words, std::int64_t size) {
    return id < size ? "'" + printable(words.symbol(id)) + "'" : "the end";
  };
  throw FormatError({found.file, {}, {}},
                    concat("has another dictionary than ", shown(expected.file), ": line ",
                           id - kWordsBeforeFirstLine + 1, " is ", word(found_words, ours),
                           ", expected ", word(expected_words, theirs)));
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

KnownDictionary known_dictionary(const Dictionary& dictionary, const std::string& file) {
  const bool has_words = words_of(dictionary) > kWordsBeforeFirstLine;
  return {file, has_words ? dictionary_sha256(dictionary) : "", file};
}

KnownDictionary known_dictionary(const std::filesystem::path& dict_txt) {
  return known_dictionary(Dictionary::load(dict_txt), dict_txt.string());
}

void check_same_dictionary(const KnownDictionary& found, const KnownDictionary& expected) {
  if (found.sha256.empty() || expected.sha256.empty() || found.sha256 == expected.sha256) return;
  const auto found_words = words_at_hand(found), expected_words = words_at_hand(expected);
  if (found_words && expected_words)
    throw_first_difference(found, *found_words, expected, *expected_words);
  throw FormatError({found.file, {}, {}}, "has another dictionary (SHA-256 " +
                                              found.sha256.substr(0, kShortDigest) + "...) than " +
                                              shown(expected.file) + " (" +
                                              expected.sha256.substr(0, kShortDigest) +
                                              "...), expected the same words in the same order");
}

}  // namespace compat
