#include "compat/fairseq/dictionary_digest.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

Dictionary words(const std::string& text) { return Dictionary::parse(text, "dict.txt"); }

std::string digest(const std::string& text) { return dictionary_sha256(words(text)); }

// Python: hashlib.sha256(b"<s>\n<pad>\n</s>\n<unk>\na\nb\n").hexdigest()
constexpr const char* kOfAAndB = "06abc85e0ea2ca603572e5311c60338d6761d9c5a29e956d2dcd44b474e3f418";

TEST(DictionaryDigest, HashesTheWordsInOrder) {
  EXPECT_EQ(digest("a 1\nb 2\n"), kOfAAndB);
  EXPECT_NE(digest("b 1\na 2\n"), kOfAAndB);
  EXPECT_NE(digest("a 1\n"), kOfAAndB);
  EXPECT_NE(digest("a 1\nb\xc2\xa0 2\n"), kOfAAndB);
}

TEST(DictionaryDigest, LeavesOutCountsLineEndsAndPadding) {
  EXPECT_EQ(digest("a 7\r\nb 0"), kOfAAndB);
  EXPECT_EQ(digest("a 1\nb 2\nmadeupword0000 0\nmadeupword0001 0\n"), kOfAAndB);
  EXPECT_NE(digest("a 1\nmadeupword0000 0\nb 2\n"), kOfAAndB);  // takes the row before b's
  EXPECT_NE(digest("a 1\nb 2\nmadeupwords 0\n"), kOfAAndB);
}

TEST(DictionaryDigest, HashesAnOverwrittenWordAtBothItsRows) {
  EXPECT_EQ(digest("a 1\nb 1\na 1 #fairseq:overwrite\n"),
            "5e1c16319ddfdc3c3124b761a5a1879f63ecb8e7447fc2f41ca3279ea8eb14ab");
}

TEST(DictionaryDigest, IsThatOfTheGoldenDictionary) {
  EXPECT_EQ(dictionary_sha256(Dictionary::load(btm_test::golden("data-bin/dict.txt"))),
            "28d0f73d0d74273419fe163151e965ca9b1262f99fb787aefd75b3dcc8e951d1");
}

/// Writes dict.txt files with the given words.
class SameDictionary : public testing::Test {
 protected:
  KnownDictionary file(const std::string& name, const std::string& text) const {
    btm_test::write_file(folder_ / name, text);
    KnownDictionary known = known_dictionary(folder_ / name);
    known.file = name;
    return known;
  }
  btm_test::TempDir folder_;
};

TEST_F(SameDictionary, PassesWhatIsEqualOrNotKnown) {
  const KnownDictionary a = file("a.txt", "a 1\nb 2\n"), other = file("other.txt", "b 1\na 1\n"),
                        unknown{"model.pt", "", {}};
  check_same_dictionary(a, file("padded.txt", "a 9\nb 2\nmadeupword0000 0\n"));
  check_same_dictionary(unknown, other);
  check_same_dictionary(file("no_words.txt", "madeupword0000 0\nmadeupword0001 0\n"), other);
  check_same_dictionary(other, unknown);
}

TEST_F(SameDictionary, NamesTheFirstLineThatDiffers) {
  const KnownDictionary a = file("a.txt", "a 1\nb 2\nc 1\n"),
                        other = file("other.txt", "a 1\nx 2\nc 1\n"),
                        shorter = file("shorter.txt", "a 1\nmadeupword0000 0\n");
  const auto expect = [](const KnownDictionary& found, const KnownDictionary& expected,
                         const std::string& message) {
    btm_test::expect_error<FormatError>([&] { check_same_dictionary(found, expected); }, message);
  };
  expect(other, a, "other.txt: has another dictionary than a.txt: line 2 is 'x', expected 'b'");
  expect(shorter, a,
         "shorter.txt: has another dictionary than a.txt: line 2 is the end, expected 'b'");
  expect(a, shorter,
         "a.txt: has another dictionary than shorter.txt: line 2 is 'b', expected the end");
}

TEST_F(SameDictionary, GivesBothDigestsWhereOneCannotBeRead) {
  const KnownDictionary a = file("a.txt", "a 1\nb 2\n");
  file("replaced.txt", "c 1\n");
  for (const fs::path& gone : {fs::path(), folder_ / "none.txt", fs::path("/dev/zero"),
                               folder_.path(), folder_ / "replaced.txt"})
    btm_test::expect_error<FormatError>(
        [&] {
          check_same_dictionary({"model.pt", std::string(64, 'f'), gone}, a);
        },
        "model.pt: has another dictionary (SHA-256 ffffffffffff...) than a.txt (" +
            std::string(kOfAAndB).substr(0, 12) +
            "...), expected the same words in the same order");
}

TEST(DictionaryDigest, KnowsItsForm) {
  EXPECT_TRUE(is_dictionary_sha256(kOfAAndB));
  for (const std::string& text : {std::string(), std::string(63, 'a'), std::string(65, 'a'),
                                  std::string(64, 'A'), std::string(64, 'g')})
    EXPECT_FALSE(is_dictionary_sha256(text)) << text;
}

}  // namespace
}  // namespace compat
