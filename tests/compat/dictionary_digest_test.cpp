#include "compat/dictionary_digest.h"

#include <gtest/gtest.h>

#include "compat/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

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
  EXPECT_NE(digest("a 1\nmadeupword0000 0\nb 2\n"), kOfAAndB);  // takes a row before b's
  EXPECT_NE(digest("a 1\nb 2\nmadeupwords 0\n"), kOfAAndB);
}

TEST(DictionaryDigest, HashesAnOverwrittenWordAtBothItsRows) {
  EXPECT_EQ(digest("a 1\nb 1\na 1 #fairseq:overwrite\n"), "5e1c16319ddfdc3c3124b761a5a1879f63ecb8e7447fc2f41ca3279ea8eb14ab");
}

TEST(DictionaryDigest, IsThatOfTheGoldenDictionary) {
  EXPECT_EQ(dictionary_sha256(Dictionary::load(btm_test::golden("data-bin/dict.txt"))), "28d0f73d0d74273419fe163151e965ca9b1262f99fb787aefd75b3dcc8e951d1");
}

TEST(SameDictionary, PassesWhatIsEqualOrNotKnown) {
  const Dictionary a = words("a 1\nb 2\n"), padded = words("a 1\nb 2\nmadeupword0000 0\n"), other = words("b 1\na 1\n");
  check_same_dictionary(known_dictionary(a, "x"), known_dictionary(padded, "y"));
  check_same_dictionary({"model.pt", "", nullptr}, known_dictionary(other, "y"));
  check_same_dictionary(known_dictionary(other, "y"), {"model.pt", "", nullptr});
}

TEST(SameDictionary, NamesTheFirstLineThatDiffers) {
  const Dictionary a = words("a 1\nb 2\nc 1\n"), other = words("a 1\nx 2\nc 1\n"), shorter = words("a 1\nmadeupword0000 0\n");
  btm_test::expect_error<FormatError>([&] { check_same_dictionary(known_dictionary(other, "law/dict.txt"), known_dictionary(a, "dict.txt")); },
                                      "law/dict.txt[line 2]: 'x', expected 'b' as in dict.txt: another dictionary");
  btm_test::expect_error<FormatError>([&] { check_same_dictionary(known_dictionary(shorter, "law/dict.txt"), known_dictionary(a, "dict.txt")); },
                                      "law/dict.txt[line 2]: the end, expected 'b' as in dict.txt");
  btm_test::expect_error<FormatError>([&] { check_same_dictionary(known_dictionary(a, "dict.txt"), known_dictionary(shorter, "s.txt")); },
                                      "dict.txt[line 2]: 'b', expected the end as in s.txt");
}

TEST(SameDictionary, GivesBothDigestsWhereOneFileIsAway) {
  const Dictionary a = words("a 1\nb 2\n");
  btm_test::expect_error<FormatError>([&] { check_same_dictionary({"model.pt", std::string(64, 'f'), nullptr}, known_dictionary(a, "dict.txt")); },
                                      "model.pt: is of another dictionary (SHA-256 ffffffffffff...) than dict.txt (" +
                                          std::string(kOfAAndB).substr(0, 12) + "...), expected the same words in the same order");
}

TEST(DictionaryDigest, KnowsItsForm) {
  EXPECT_TRUE(is_dictionary_sha256(kOfAAndB));
  for (const std::string& text : {std::string(), std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'), std::string(64, 'g')})
    EXPECT_FALSE(is_dictionary_sha256(text)) << text;
}

}  // namespace
}  // namespace compat
