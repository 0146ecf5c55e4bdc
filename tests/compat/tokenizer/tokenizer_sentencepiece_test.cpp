#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>

#include "compat/base/error.h"
#include "compat/tokenizer/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::read_file;

std::vector<std::string> pieces(Tokenizer& tokenizer, std::string_view text) {
  Tokens tokens;
  tokenizer.encode(text, tokens);
  std::vector<std::string> found;
  std::size_t unknown = 0;
  for (const std::int32_t id : tokens.ids)
    found.push_back(id == tokenizer.unknown_id() ? tokens.unknown.at(unknown++)
                                                 : tokenizer.symbol(id));
  EXPECT_EQ(unknown, tokens.unknown.size());
  return found;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : " ") + part;
  return text;
}

void expect_pieces(const std::string& text_file, const std::string& pieces_file) {
  const auto tokenizer = load_sentencepiece(golden("corpus/spm.model"));
  std::istringstream text(read_file(golden(text_file))), expected(read_file(golden(pieces_file)));
  std::size_t lines = 0;
  for (std::string line, want; std::getline(text, line) && std::getline(expected, want); ++lines)
    ASSERT_EQ(joined(pieces(*tokenizer, line)), want) << text_file << " line " << lines + 1;
  EXPECT_GT(lines, 20U);
}

/// Random texts with all kinds of spaces, and of characters next to them.
void expect_same(Tokenizer& by_words, Tokenizer& whole) {
  const std::vector<std::string> parts{" ",
                                       " ",
                                       " ",
                                       " ",
                                       "  ",
                                       "the",
                                       "a",
                                       "Zeit",
                                       "q",
                                       "1984",
                                       ".",
                                       "<s>",
                                       "\t",
                                       "\n",
                                       "\xc3\xbc",
                                       "\xc3\xa9t\xc3\xa9",
                                       "\xcc\x88",
                                       "\xcc\x81",
                                       "\xc2\xa0",
                                       "\xc2\xb4",
                                       "\xe3\x80\x80",
                                       "\xe2\x96\x81",
                                       "\xe2\x80\x8b",
                                       "\xd0\xb4\xd0\xb0",
                                       "\xd2\x83",
                                       "\xce\xb1",
                                       "\xe6\x9d\xb1",
                                       "\xef\xac\x81",
                                       "\xf0\x9f\x98\x80",
                                       "\xcd\xbe",
                                       "\x7f",
                                       "\x01"};
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (std::size_t left = random() % 12; left > 0; --left) text += parts[random() % parts.size()];
    ASSERT_EQ(joined(pieces(by_words, text)), joined(pieces(whole, text)))
        << testing::PrintToString(text);
  }
}

TEST(SentencePiece, GivesThePiecesOfTheGoldenCorpus) {
  for (const std::string domain : {"fortunes", "jargon", "perl", "politics"})
    for (const std::string split : {"valid", "test"})
      expect_pieces("corpus/" + domain + "/" + split + ".txt",
                    "corpus/" + domain + "/" + split + ".spm");
}

TEST(SentencePiece, EncodesAwkwardTextAsThePythonPackage) {
  expect_pieces("gpt2/awkward.txt", "gpt2/awkward.spm");
}

TEST(SentencePiece, KeepsTheTextOfUnknownPiecesAndDecodesIt) {
  const auto tokenizer = load_sentencepiece(golden("corpus/spm.model"));
  const auto found = pieces(*tokenizer, "the 東京 of");
  ASSERT_NE(std::ranges::find(found, "東京"), found.end());
  EXPECT_EQ(tokenizer->decode(std::vector<std::string_view>(found.begin(), found.end())),
            "the 東京 of");
}

TEST(SentencePiece, GivesAnEmptyTextNoPieces) {
  const auto tokenizer = load_sentencepiece(golden("corpus/spm.model"));
  EXPECT_TRUE(pieces(*tokenizer, "").empty());
  EXPECT_TRUE(pieces(*tokenizer, "   ").empty());
  EXPECT_EQ(tokenizer->size(), 2000);
}

/// With a normalisation of another name the library encodes the whole text. With the golden model's
/// normalisation, or with none (an empty precompiled_charsmap), words are encoded separately. None
/// keeps U+2581 as it is.
TEST(SentencePiece, GivesTheSameWordByWord) {
  const btm_test::TempDir folder;
  const std::string golden_model = read_file(golden("corpus/spm.model")),
                    no_rules("\x1a\x0c\x0a\x08identity\x12\0", 14), other = "\x1a\x07\x0a\x05other";
  for (const std::string& model : {golden_model, golden_model + no_rules}) {
    btm_test::write_file(folder / "words.model", model);
    btm_test::write_file(folder / "whole.model", model + other);
    expect_same(*load_sentencepiece(folder / "words.model"),
                *load_sentencepiece(folder / "whole.model"));
  }
}

TEST(SentencePiece, RejectsWhatIsNoModel) {
  const btm_test::TempDir folder;
  const std::string model = read_file(golden("corpus/spm.model"));
  for (const std::string& bytes : {std::string(), std::string("text\n"), model.substr(0, 1000),
                                   model.substr(0, model.size() / 2)}) {
    btm_test::write_file(folder / "x.model", bytes);
    expect_error<FormatError>([&] { load_sentencepiece(folder / "x.model"); },
                              "x.model: not a sentencepiece model");
  }
  expect_error<IoError>([&] { load_sentencepiece(folder / "none.model"); }, "none.model");
}

}  // namespace
}  // namespace compat
