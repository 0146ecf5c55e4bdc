#include "compat/tokenizer/python_text.h"

#include <gtest/gtest.h>

#include "compat/base/byte_reader.h"
#include "compat/io/sha256.h"

namespace compat {
namespace {

std::string utf8(std::uint32_t code) {
  std::string text;
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  }
  return text;
}

template <class Visit>
void for_each_code(Visit visit) {
  for (std::uint32_t code = 0; code < 0x110000; ++code)
    if (code < 0xD800 || code >= 0xE000) visit(code);
}

// The digests and counts are those of Python 3.9.18: "".join(c.lower() for c in all characters).
TEST(PythonText, LowersEveryCharacterAsPython) {
  Sha256 alone, before_sigma;
  for_each_code([&](std::uint32_t code) {
    alone.update(as_byte_span(python_lower(utf8(code))));
    before_sigma.update(as_byte_span(python_lower("a" + utf8(code) + "Σ")));
  });
  EXPECT_EQ(alone.hex(), "120c1180eb6827120759a3b7d3f24e46ad41dd744565e5ddc5faef1e51ec7896");
  EXPECT_EQ(before_sigma.hex(), "5c1e32f5c59f072287758c8625652ac9172e4d0657161757bc63e0c63b3e28b8");
}

TEST(PythonText, KnowsDigitsAndWordCharacters) {
  std::int64_t digits = 0, words = 0;
  for_each_code([&](std::uint32_t code) {
    digits += python_is_digit(code) ? 1 : 0;
    words += python_is_word(code) ? 1 : 0;
  });
  EXPECT_EQ(digits, 778);
  EXPECT_EQ(words, 133023);
  EXPECT_TRUE(python_is_digit(0xB2));   // a superscript
  EXPECT_FALSE(python_is_digit(0xBD));  // a half
  EXPECT_TRUE(python_is_word(0xBD));
  EXPECT_FALSE(python_is_word(0x301));  // a combining accent
  EXPECT_FALSE(python_is_word(0x110000));
}

TEST(PythonText, EndsWordsWithAFinalSigma) {
  EXPECT_EQ(python_lower("ΑΣ"), "ας");
  EXPECT_EQ(python_lower("ΑΣΑ"), "ασα");
  EXPECT_EQ(python_lower("Σ"), "σ");
  EXPECT_EQ(python_lower("Α.Σ"), "α.ς");
  EXPECT_EQ(python_lower("ΑΣ'Α"), "ασ'α");
  EXPECT_EQ(python_lower("1Σ"), "1σ");
  EXPECT_EQ(python_lower("ΑΣ Σ"), "ας σ");
  EXPECT_EQ(python_lower("İΣ"), "i\u0307ς");
  EXPECT_EQ(python_lower("\xff"
                         "A\xc3"),
            "\xff"
            "a\xc3");
}

TEST(PythonText, FindsRunsOfTwoWordCharacters) {
  const auto words = [](std::string_view text) {
    std::string found;
    for_each_python_word(text, [&](std::string_view word) { found += std::string(word) + "|"; });
    return found;
  };
  EXPECT_EQ(words("a bc, d_e-f½g"), "bc|d_e|f½g|");
  EXPECT_EQ(words("ab\u0301cd"), "ab|cd|");
  EXPECT_EQ(words("ab\xff"
                  "cd"),
            "ab|cd|");
  EXPECT_EQ(words(""), "");
}

}  // namespace
}  // namespace compat
