#include "compat/tokenizer/sentencepiece_model.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/files.h"

namespace compat {
namespace {

/// A field of a protocol buffer, with bytes or a small number.
std::string field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (std::size_t size = bytes.size();; size >>= 7) {
    out += static_cast<char>((size & 0x7f) | (size > 0x7f ? 0x80 : 0));
    if (size <= 0x7f) return out + bytes;
  }
}
std::string field(int number, int value) {
  const int tag = number << 3;
  return (tag > 0x7f
              ? std::string{static_cast<char>((tag & 0x7f) | 0x80), static_cast<char>(tag >> 7)}
              : std::string(1, static_cast<char>(tag))) +
         static_cast<char>(value);
}

const std::string kPiece = field(1, field(1, "\xe2\x96\x81the"));
const std::string kBpe = field(2, field(3, 2));
const std::string kNormal = field(3, field(1, "nmt_nfkc"));

TEST(SentencePieceModel, KnowsModelsWhoseWordsAreApart) {
  EXPECT_TRUE(encodes_words_separately(btm_test::read_file(btm_test::golden("corpus/spm.model"))));
  EXPECT_TRUE(encodes_words_separately(kPiece + kBpe + kNormal));
  EXPECT_TRUE(encodes_words_separately(
      kPiece + field(2, field(3, 2) + field(24, 0)) +
      field(3, field(1, "identity") + field(3, 1) + field(4, 1) + field(5, 1))));
  EXPECT_TRUE(encodes_words_separately(field(1, std::string("\x15zzzz\x19yyyyyyyy", 14)) + kBpe +
                                       kNormal));  // fixed32, fixed64
}

TEST(SentencePieceModel, KnowsThoseThatAreNot) {
  const std::string mixed[] = {
      kPiece + field(2, field(3, 1)) + kNormal,                            // unigram
      kPiece + field(2, "") + kNormal,                                     // unigram is the default
      kPiece + kBpe + field(2, "") + kNormal,                              // twice
      kPiece + field(2, field(3, 2) + field(24, 1)) + kNormal,             // spaces end words
      kPiece + kBpe + field(3, field(1, "mine")),                          // the user's own rules
      kPiece + kBpe + field(3, ""),                                        //
      kPiece + kBpe + kNormal + field(3, field(1, "nfkc") + field(3, 0)),  // no space before a text
      kPiece + kBpe + field(3, field(1, "nfkc") + field(4, 0)),            // spaces are kept
      kPiece + kBpe + field(3, field(1, "nfkc") + field(5, 0)),            // and not escaped
      kPiece + kBpe,                                                       //
      kPiece + kNormal,                                                    //
      field(1, field(1, "of\xe2\x96\x81the")) + kBpe + kNormal,            // a piece of two words
      field(1, field(1, "\xe2\x96\x81\xe2\x96\x81")) + kBpe + kNormal,     // of spaces
      field(1, field(1, "a b")) + kBpe + kNormal,
      field(1, field(1, "ab") + field(3, 5)) + kBpe + kNormal,  // a piece that is not used
  };
  for (const std::string& model : mixed)
    EXPECT_FALSE(encodes_words_separately(model)) << &model - mixed;
}

TEST(SentencePieceModel, TakesDamageForNoModel) {
  EXPECT_FALSE(encodes_words_separately(""));
  const std::string model = kBpe + kNormal + kPiece;
  for (std::size_t size = 0; size < model.size(); ++size)
    EXPECT_EQ(encodes_words_separately(model.substr(0, size)), size == kBpe.size() + kNormal.size())
        << size;
  for (const std::string& end : {std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
                                 std::string(12, '\xff'), std::string("\x0b"), std::string("\x0f"),
                                 std::string("\x0d"
                                             "abc"),
                                 std::string("\x09"
                                             "abcdefg"),
                                 field(1,
                                       "\x0a\x05"
                                       "abc")})
    EXPECT_FALSE(encodes_words_separately(model + end)) << testing::PrintToString(end);
}

}  // namespace
}  // namespace compat
