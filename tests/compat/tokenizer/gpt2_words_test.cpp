#include "compat/tokenizer/gpt2_words.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace compat {
namespace {

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  while (!text.empty()) {
    const std::size_t length = gpt2_word_length(text);
    if (length == 0 || length > text.size())
      return {"a word of " + std::to_string(length) + " bytes"};
    found.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return found;
}

using Words = std::vector<std::string>;

TEST(Gpt2Words, TakeOneSpaceWithTheRunBehindIt) {
  EXPECT_EQ(words("Hello world 42!"), (Words{"Hello", " world", " 42", "!"}));
  EXPECT_EQ(words("abc123...x"), (Words{"abc", "123", "...", "x"}));
}

TEST(Gpt2Words, CutContractionsInLowerCaseOnly) {
  EXPECT_EQ(words("don't we're I'll I'VE"),
            (Words{"don", "'t", " we", "'re", " I", "'ll", " I", "'", "VE"}));
  EXPECT_EQ(words("'s's"), (Words{"'s", "'s"}));
  EXPECT_EQ(words(" 's"), (Words{" '", "s"}));
  EXPECT_EQ(words("''s"), (Words{"''", "s"}));
  EXPECT_EQ(words("'r"), (Words{"'", "r"}));
  EXPECT_EQ(words("'"), (Words{"'"}));
}

TEST(Gpt2Words, LeaveTheLastWhiteSpaceToTheNextWord) {
  EXPECT_EQ(words("a   b"), (Words{"a", "  ", " b"}));
  EXPECT_EQ(words("a\n\nb"), (Words{"a", "\n", "\n", "b"}));
  EXPECT_EQ(words("a\t b"), (Words{"a", "\t", " b"}));
  EXPECT_EQ(words("a \tb"), (Words{"a", " ", "\t", "b"}));
  EXPECT_EQ(words("a  "), (Words{"a", "  "}));
  EXPECT_EQ(words(" "), (Words{" "}));
  EXPECT_EQ(words("\u3000\u3000x"), (Words{"\u3000", "\u3000", "x"}));
}

TEST(Gpt2Words, KnowUnicodesLettersAndNumbers) {
  EXPECT_EQ(words("naïve 東京２０"), (Words{"naïve", " 東京", "２０"}));
  EXPECT_EQ(words("e\u0301"), (Words{"e", "\u0301"}));  // a mark is neither letter nor space
  EXPECT_EQ(words("😀x"), (Words{"😀", "x"}));
  EXPECT_EQ(words("½Ⅷ"), (Words{"½Ⅷ"}));
}

TEST(Gpt2Words, GiveCategoriesOfUnicode17) {
  EXPECT_EQ(category_of(U'a'), Category::kLetter);
  EXPECT_EQ(category_of(0xAA), Category::kLetter);
  EXPECT_EQ(category_of(0xB2), Category::kNumber);
  EXPECT_EQ(category_of(0x85), Category::kSpace);
  EXPECT_EQ(category_of(0x1C),
            Category::kOther);  // white space for str.isspace(), but not for White_Space
  EXPECT_EQ(category_of(0x180E), Category::kOther);
  EXPECT_EQ(category_of(0x2FFFF), Category::kOther);
  EXPECT_EQ(category_of(0x110000), Category::kOther);
  std::size_t letters = 0, numbers = 0, spaces = 0;
  for (std::uint32_t code = 0; code < 0x110000; ++code) {
    const Category category = category_of(code);
    letters += category == Category::kLetter;
    numbers += category == Category::kNumber;
    spaces += category == Category::kSpace;
  }
  EXPECT_EQ(letters, 145672U);  // as counted with Python's regex 2026.1.15
  EXPECT_EQ(numbers, 1924U);
  EXPECT_EQ(spaces, 25U);
}

}  // namespace
}  // namespace compat
