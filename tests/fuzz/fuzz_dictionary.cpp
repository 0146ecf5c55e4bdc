// Reads any bytes as a dict.txt. It is refused, or it is written and read back as the same words
// and counts.
#include "compat/fairseq/dictionary.h"
#include "tests/support/files.h"
#include "tests/support/fuzz.h"

namespace {

/// Whether a word was overwritten. fairseq writes such a word twice, and then refuses the file.
bool has_repeated_words(const compat::Dictionary& dictionary) {
  for (std::int64_t i = 0; i < dictionary.size(); ++i)
    if (dictionary.index(dictionary.symbol(i)) != i) return true;
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  compat::Dictionary dictionary;
  try {
    dictionary = compat::Dictionary::parse(btm_test::as_text(data, size), "input");
  } catch (const compat::FormatError&) {
    return 0;
  }
  if (!has_repeated_words(dictionary)) {
    const auto path = btm_test::scratch_path("dict.txt");
    dictionary.save(path);
    // Not load(): the words may be those of a Git LFS pointer, which is refused as one.
    const auto again = compat::Dictionary::parse(btm_test::read_file(path), "what was saved");
    btm_test::require(again == dictionary, "a dictionary is not read as it was written");
    for (std::int64_t i = 4; i < dictionary.size(); ++i)
      btm_test::require(again.count(i) == dictionary.count(i),
                        "a count is not read as it was written");
  }
  dictionary.finalize();
  btm_test::require(dictionary.size() % 8 == 0, "a finalized dictionary is not a multiple of 8");
  btm_test::require(!has_repeated_words(dictionary), "a finalized dictionary holds a word twice");
  return 0;
}
