#include "btm/evaluator/byte_counts.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;

std::int64_t total(const ByteCounts& counts, const compat::Dictionary& dictionary,
                   std::string_view line) {
  std::int64_t bytes = 0;
  for (const std::int64_t id : dictionary.encode_line(line))
    bytes += counts[static_cast<std::size_t>(id)];
  return bytes;
}

TEST(ByteCounts, OfSentencepieceAreTheDetokenisedLine) {
  const auto dictionary =
      compat::Dictionary::parse("▁the 5\n▁na 4\nï 3\nve 2\n. 1\n<0xE2> 1\n▁ 1\n", "dict.txt");
  const auto counts = byte_counts(dictionary);
  ASSERT_TRUE(counts);
  EXPECT_EQ(total(*counts, dictionary, "▁the ▁na ï ve ."),
            static_cast<std::int64_t>(std::string_view("the naïve.\n").size()));
  EXPECT_EQ(total(*counts, dictionary, "▁ <0xE2> <0xE2>"), 3);
}

TEST(ByteCounts, OfWordsHaveASpaceOrNewlineBehindEach) {
  const auto dictionary = compat::Dictionary::parse("new@@ 3\nest 2\nmodel 1\n", "dict.txt");
  const auto counts = byte_counts(dictionary);
  ASSERT_TRUE(counts);
  EXPECT_EQ(total(*counts, dictionary, "new@@ est model"),
            static_cast<std::int64_t>(std::string_view("newest model\n").size()));
}

TEST(ByteCounts, AreUnknownForNumbers) {
  EXPECT_FALSE(
      byte_counts(compat::Dictionary::parse("13 5\n262 4\nmadeupword0000 0\n", "dict.txt")));
}

TEST(ByteCounts, OfGpt2AreTheCharactersOfTheKey) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "encoder.json", R"({".": 13, "\u0120the": 262, "\u010a": 198})");
  const auto dictionary = compat::Dictionary::parse("13 5\n262 4\nmadeupword0000 0\n", "dict.txt");
  const ByteCounts counts = gpt2_byte_counts(dictionary, dir / "encoder.json");
  EXPECT_EQ(total(counts, dictionary, "262 262 13"),
            static_cast<std::int64_t>(std::string_view(" the the.\n").size()));
}

TEST(ByteCounts, RefuseAnEncoderThatIsNone) {
  const btm_test::TempDir dir;
  const auto dictionary = compat::Dictionary::parse("13 5\n262 4\n", "dict.txt");
  const auto expect_refusal = [&](std::string_view text, std::string_view phrase) {
    btm_test::write_file(dir / "encoder.json", text);
    expect_error<compat::FormatError>([&] { gpt2_byte_counts(dictionary, dir / "encoder.json"); },
                                      phrase);
  };
  expect_refusal("not json", "is not JSON, expected GPT-2's encoder.json");
  expect_refusal(std::string(100'000, '['),
                 "nests deeper than 512 levels, expected GPT-2's encoder.json");
  expect_refusal("[1]", "is not a JSON object");
  expect_refusal(R"({"a": "b"})", "the value of 'a' is not an integer");
  expect_refusal(R"({".": 13})", "has no token of id 262");
  expect_error<compat::IoError>([&] { gpt2_byte_counts(dictionary, dir / "missing.json"); },
                                "missing.json");
}

}  // namespace
}  // namespace btm
