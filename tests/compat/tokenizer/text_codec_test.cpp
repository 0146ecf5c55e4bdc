#include "compat/tokenizer/text_codec.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::read_file;
using Ids = std::vector<std::int64_t>;

TextCodec pieces_codec() {
  const std::string dictionary = golden("data-bin/dict.txt"), model = golden("corpus/spm.model");
  return {Dictionary::load(dictionary), dictionary, load_sentencepiece(model), model};
}

/// GPT-2's first merges, with a dictionary of all their ids.
TextCodec gpt2_codec() {
  auto tokenizer = load_gpt2_bpe(golden("gpt2/encoder.json"), golden("gpt2/vocab.bpe"));
  Dictionary dictionary;
  for (std::int32_t id = 0; id < tokenizer->size(); ++id)
    if (const std::string symbol = tokenizer->symbol(id); !symbol.empty())
      dictionary.add_symbol(symbol);
  return {std::move(dictionary), "dict.txt", std::move(tokenizer), "encoder.json"};
}

TextCodec words_codec() {
  return {Dictionary::parse("a 3\nbb 2\n東 1\n", "dict.txt"), "dict.txt", nullptr, ""};
}

std::string streamed(const TextCodec& codec, const Ids& ids, std::size_t before = 0) {
  TextStream stream(codec, std::span(ids).first(before));
  std::string text;
  for (const std::int64_t id : std::span(ids).subspan(before)) {
    const std::string piece = stream.push(id);
    EXPECT_EQ(first_invalid_utf8(piece), std::string::npos);
    text += piece;
  }
  return text + stream.finish();
}

TEST(TextCodec, GivesTheIdsOfThePreprocessedData) {
  TextCodec codec = pieces_codec();
  std::istringstream text(read_file(golden("corpus/perl/valid.txt"))),
      pieces(read_file(golden("corpus/perl/valid.spm")));
  std::size_t lines = 0;
  for (std::string line, want; std::getline(text, line) && std::getline(pieces, want); ++lines)
    ASSERT_EQ(codec.encode(line), codec.dictionary().encode_line(want, false)) << line;
  EXPECT_GT(lines, 20U);
  EXPECT_EQ(codec.clone().encode("the law"), codec.encode("the law"));
}

TEST(TextCodec, DecodesWhatItEncodes) {
  TextCodec pieces = pieces_codec(), gpt2 = gpt2_codec(), words = words_codec();
  EXPECT_EQ(pieces.decode(pieces.encode("Coming together is a beginning;")),
            "Coming together is a beginning;");
  std::istringstream lines(read_file(golden("gpt2/awkward.txt")));
  for (std::string line; std::getline(lines, line);)
    ASSERT_EQ(gpt2.decode(gpt2.encode(line)), line);
  EXPECT_EQ(gpt2.decode(gpt2.encode("  two\n\tlines  ")), "  two\n\tlines  ");
  EXPECT_EQ(words.decode(words.encode("bb  東\ta x")), "bb 東 a <unk>");
  EXPECT_EQ(words.unknown(), 1);
}

TEST(TextCodec, GivesNoTextForSpecialSymbols) {
  const TextCodec words = words_codec();
  EXPECT_EQ(words.decode(Ids{2, 4, 1, 5, 0, 2}), "a bb");
  EXPECT_EQ(words.decode(Ids{}), "");
  EXPECT_THROW(words.decode(Ids{7}), std::invalid_argument);
  EXPECT_THROW(words.decode(Ids{-1}), std::invalid_argument);
}

TEST(TextCodec, RefusesTextThatIsNotUtf8) {
  TextCodec pieces = pieces_codec(), words = words_codec();
  expect_error<FormatError>([&] { pieces.encode("ab\xff"); }, "text+0x2: not UTF-8");
  expect_error<FormatError>([&] { words.encode("\xe2\x96"); }, "text+0x0: not UTF-8");
}

TEST(TextCodec, RefusesATokenizerOfAnotherDictionary) {
  const auto codec_of = [](const char* dictionary, std::unique_ptr<Tokenizer> tokenizer) {
    TextCodec(Dictionary::parse(dictionary, "dict.txt"), "dict.txt", std::move(tokenizer), "t");
  };
  const std::string spm = golden("corpus/spm.model");
  expect_error<FormatError>(
      [&] { codec_of("\u2581the 93\nqqqq 6\nzzzz 1\n", load_sentencepiece(spm)); },
      "t: does not fit dict.txt: 2 of its 3 symbols (7.0% of its tokens) are none of this "
      "tokenizer, such as 'qqqq'");
  codec_of("\u2581the 96\nqqqq 3\nzzzz 1\nmadeupword0000 0\n", load_sentencepiece(spm));
  expect_error<FormatError>([&] { codec_of("\u2581the 0\nqqqq 0\n", load_sentencepiece(spm)); },
                            "(50.0% of its tokens)");
  codec_of("", load_sentencepiece(spm));
}

TEST(TextStream, GivesTheWholeText) {
  const TextCodec codecs[] = {pieces_codec(), gpt2_codec(), words_codec()};
  std::mt19937_64 random(1);
  for (const TextCodec& codec : codecs) {
    for (int round = 0; round < 300; ++round) {
      Ids ids;
      for (int i = 0; i < 12; ++i)
        ids.push_back(static_cast<std::int64_t>(random() >> 1) % codec.dictionary().size());
      ASSERT_EQ(streamed(codec, ids), codec.decode(ids));
    }
  }
}

TEST(TextStream, NeverCutsACharacter) {
  TextCodec gpt2 = gpt2_codec();
  for (const std::string text : {"東京 \U0001F600 é", "\U0001F600", "a\u0301"})
    EXPECT_EQ(streamed(gpt2, gpt2.encode(text)), text);
  const Ids ids = gpt2.encode("\u6771!");
  ASSERT_GT(ids.size(), 2U);
  TextStream stream(gpt2);
  EXPECT_EQ(stream.push(ids[0]), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");  // what ends amid a character
}

TEST(TextStream, GoesOnAfterAPrompt) {
  TextCodec pieces = pieces_codec(), words = words_codec();
  const Ids ids = pieces.encode("the law of the land");
  TextStream stream(pieces, std::span(ids).first(1));
  EXPECT_EQ(stream.push(ids[1]).substr(0, 1), " ");
  for (std::size_t before = 0; before <= ids.size(); ++before)
    EXPECT_EQ(pieces.decode(std::span(ids).first(before)) + streamed(pieces, ids, before),
              "the law of the land");
  EXPECT_EQ(streamed(words, Ids{4, 5, 2}, 1), " bb");
}

}  // namespace
}  // namespace compat
