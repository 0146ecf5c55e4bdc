#include "btm/cli/text_input.h"

#include <gtest/gtest.h>

#include "compat/tokenizer/text_codec.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using Ids = std::vector<std::int64_t>;

compat::TextCodec words() {
  return {compat::Dictionary::parse("a 3\nb 2\nc 1\n", "dict.txt"), "dict.txt", nullptr, ""};
}

/// GPT-2's first merges, with a dictionary of all their ids.
compat::TextCodec gpt2() {
  auto tokenizer = compat::load_gpt2_bpe(btm_test::golden("gpt2/encoder.json"),
                                         btm_test::golden("gpt2/vocab.bpe"));
  compat::Dictionary dictionary;
  for (std::int32_t id = 0; id < tokenizer->size(); ++id)
    if (const std::string symbol = tokenizer->symbol(id); !symbol.empty())
      dictionary.add_symbol(symbol);
  return {std::move(dictionary), "dict.txt", std::move(tokenizer), "encoder.json"};
}

TEST(TextInput, LeavesOutWhiteSpaceAtBothEnds) {
  compat::TextCodec codec = gpt2();
  TextToScore plain, spaced;
  EXPECT_EQ(encode_text(codec, "", "the end", false, plain), "");
  EXPECT_EQ(encode_text(codec, "", "  the end \t", false, spaced), "");
  EXPECT_EQ(plain.tokens, spaced.tokens);
  EXPECT_TRUE(plain.context.empty());
  EXPECT_EQ(encode_text(codec, "", "the end", true, spaced), "");
  EXPECT_EQ(spaced.tokens.back(), 2);
  EXPECT_EQ(spaced.tokens.size(), plain.tokens.size() + 1);
}

TEST(TextInput, EncodesAContextAndItsTextTogether) {
  compat::TextCodec codec = gpt2();
  TextToScore spaced, joined, apart;
  EXPECT_EQ(encode_text(codec, "in the", "end", false, apart), "");
  EXPECT_EQ(encode_text(codec, "in the ", "end", false, spaced), "");
  EXPECT_EQ(apart.tokens, spaced.tokens);
  EXPECT_EQ(apart.context, codec.encode("in the"));
  EXPECT_EQ(apart.tokens, codec.encode(" end"));  // with its space
  EXPECT_EQ(encode_text(codec, "in the", "\nend", false, joined), "");
  EXPECT_EQ(codec.decode(joined.tokens), "\nend");
}

TEST(TextInput, GivesATokenAcrossTheBoundaryToTheText) {
  compat::TextCodec codec = gpt2();
  TextToScore ids;
  // White space before a word is part of its token, and of the context here.
  EXPECT_EQ(encode_text(codec, "a  ", "b", false, ids), "");
  EXPECT_EQ(codec.decode(ids.context) + codec.decode(ids.tokens), "a  b");
}

TEST(TextInput, SaysWhyATextCannotBeScored) {
  compat::TextCodec codec = words();
  TextToScore ids;
  EXPECT_EQ(encode_text(codec, "", "", false, ids), "is empty");
  EXPECT_EQ(encode_text(codec, "a", " \t ", false, ids), "is empty");
  EXPECT_EQ(encode_text(codec, "", "ab\xff", false, ids), "is not UTF-8 (byte 3)");
  EXPECT_EQ(encode_text(codec, "\xff", "a", false, ids), "is not UTF-8 (byte 1)");
}

TEST(TextInput, GivesThePieceOfEachToken) {
  compat::TextCodec codec = words();
  EXPECT_EQ(compat::pieces_of(codec, Ids{5, 6, 2}, Ids{4}),
            (std::vector<std::string>{" b", " c", ""}));
  EXPECT_EQ(compat::pieces_of(codec, Ids{5}), std::vector<std::string>{"b"});
}

TEST(TextInput, CountsNoWordsOfEarlierTexts) {
  compat::TextCodec codec = words();
  codec.encode("x y");
  UnknownWords unknown(codec);
  codec.encode("z");
  unknown.note(codec, "prompt 1");
  EXPECT_EQ(unknown.summary(),
            "the dictionary lacks 1 word of 1 text, which are read as <unk>: the first is "
            "prompt 1");
}

TEST(TextInput, CountsWordsThatTheDictionaryLacks) {
  compat::TextCodec codec = words();
  UnknownWords unknown;
  codec.encode("a b");
  unknown.note(codec, "line 1");
  EXPECT_EQ(unknown.summary(), "");
  codec.encode("x y a");
  unknown.note(codec, "line 2");
  codec.encode("z");
  unknown.note(codec, "line 3");
  EXPECT_EQ(unknown.summary(),
            "the dictionary lacks 3 words of 2 texts, which are read as <unk>: the first is "
            "line 2");
}

}  // namespace
}  // namespace btm
