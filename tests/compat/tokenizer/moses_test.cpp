// --tokenizer moses against sacremoses 0.1.1 (scripts/make-encoders-golden).
#include "compat/tokenizer/moses.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "compat/base/error.h"
#include "compat/fairseq/dictionary.h"
#include "compat/tokenizer/text_codec.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using nlohmann::json;

TEST(Moses, TokenizesAndDetokenizesAsSacremoses) {
  std::map<std::string, MosesTables> tables;
  std::istringstream in(btm_test::read_file(golden("moses/expected.jsonl")));
  std::size_t rows = 0;
  for (std::string line; std::getline(in, line); ++rows) {
    const json row = json::parse(line);
    const std::string language = row.at("language");
    if (!tables.contains(language))
      tables.emplace(language, read_moses_tables(golden("moses"), language));
    const MosesTables& own = tables.at(language);
    std::string tokens = row.value("given", "");
    if (row.contains("text")) {
      const std::string text = row.at("text");
      tokens = moses_tokenize(text, own, language, {});
      EXPECT_EQ(tokens, row.at("tokens")) << language << ' ' << text;
      EXPECT_EQ(moses_tokenize(text, own, language, {false, false}), row.at("plain")) << text;
    }
    if (row.contains("decoded")) {
      EXPECT_EQ(moses_detokenize(tokens, own, language), row.at("decoded")) << tokens;
    }
  }
  EXPECT_GT(rows, 30U);
}

TokenizerOptions options() {
  TokenizerOptions moses;
  moses.tokenizer = "moses";
  moses.moses_data = golden("moses").string();
  return moses;
}

Dictionary dictionary() {
  Dictionary words;
  for (const char* word : {"He", "&apos;s", "here", ".", ",", "it"}) words.add_symbol(word);
  return words;
}

TEST(Moses, ComesBeforeWordsAndAfterThem) {
  TextCodec codec(dictionary(), "dict.txt", load_tokenizer(options()), "--bpe none");
  const std::vector<std::int64_t> ids = codec.encode("He's here, it's.");
  EXPECT_EQ(ids, (std::vector<std::int64_t>{4, 5, 6, 8, 9, 5, 7}));
  EXPECT_EQ(codec.decode(ids), "He's here, it's.");
  EXPECT_EQ(codec.unknown(), 0);
}

/// A later token may change the text before it, so that all of it comes at the end.
TEST(Moses, GivesAStreamsTextAtItsEnd) {
  TextCodec codec(dictionary(), "dict.txt", load_tokenizer(options()), "--bpe none");
  const std::vector<std::int64_t> ids = codec.encode("He's here, it's.");
  TextStream stream(codec, std::span(ids).first(2));
  for (const std::int64_t id : std::span(ids).subspan(2)) EXPECT_EQ(stream.push(id), "");
  EXPECT_EQ(stream.finish(), " here, it's.");
  const auto pieces = pieces_of(codec, ids);  // before detokenizing
  ASSERT_EQ(pieces.size(), ids.size());
  EXPECT_EQ(pieces[1], " &apos;s");
}

/// The prompt's own text changes, so that its length says nothing of where the rest begins.
TEST(Moses, GivesTheRestOfATextThatChangesItsPrompt) {
  Dictionary words;
  for (const char* word : {"it'", "-", "mail", "\u6771"}) words.add_symbol(word);
  TokenizerOptions czech = options();
  czech.moses_target_lang = "cs";
  const TextCodec codec(std::move(words), "dict.txt", load_tokenizer(czech), "--bpe none");
  const std::vector<std::int64_t> ids{4, 5, 6};
  EXPECT_EQ(codec.decode(std::span(ids).first(2)), "it' -");
  EXPECT_EQ(codec.decode(ids), "it'-mail");
  TextStream stream(codec, std::span(ids).first(2));
  EXPECT_EQ(stream.before(), "it' -");
  stream.push(6);
  EXPECT_EQ(stream.finish(), "-mail");
  EXPECT_EQ(stream.before(), "it'");
  for (std::int64_t a = 4; a < 8; ++a)
    for (std::int64_t b = 4; b < 8; ++b)
      for (std::int64_t c = 4; c < 8; ++c) {
        const std::vector<std::int64_t> all{a, b, c};
        TextStream text(codec, std::span(all).first(2));
        text.push(c);
        const std::string rest = text.finish();
        EXPECT_EQ(text.before() + rest, codec.decode(all));
      }
}

TEST(Moses, TakesLongTextsInLinearTime) {
  const MosesTables tables = read_moses_tables(golden("moses"), "en");
  const std::size_t kMany = 300'000;
  for (const char* part : {".", "DOT", "-", "'", ",", "&", "a-", "``", "a."}) {
    std::string text;
    for (std::size_t i = 0; i < kMany; ++i) text += part;
    const std::string tokens = moses_tokenize(text, tables, "en", {});
    EXPECT_GE(tokens.size(), text.size());
    EXPECT_FALSE(moses_detokenize(tokens, tables, "en").empty());
  }
}

TEST(Moses, RefusesWhatItCannotRead) {
  const btm_test::TempDir dir;
  const auto load = [&](const std::string& folder, const std::string& language) {
    TokenizerOptions given = options();
    given.moses_data = folder;
    given.moses_source_lang = language;
    load_tokenizer(given);
  };
  const std::string here = golden("moses").string();
  expect_error<UsageError>([&] { load("", "en"); }, "--tokenizer moses needs --moses-data");
  expect_error<IoError>([&] { load((dir / "no").string(), "en"); },
                        "has no folders perluniprops and nonbreaking_prefixes");
  for (const char* bad : {"", "../en", "EN", "abcdefghijklmnopq"})
    expect_error<UsageError>([&] { load(here, bad); }, "expected a code such as en");
  std::filesystem::copy(golden("moses"), dir / "data", std::filesystem::copy_options::recursive);
  const auto file = dir / "data/perluniprops/IsLower.txt";
  btm_test::write_file(file, "a\xff");
  expect_error<FormatError>([&] { load((dir / "data").string(), "en"); },
                            "IsLower.txt+0x1: is not UTF-8");
  std::filesystem::remove(file);
  expect_error<IoError>([&] { load((dir / "data").string(), "en"); }, "IsLower.txt: cannot open");
  const MosesTables tables = read_moses_tables(golden("moses"), "en");
  // Control characters are removed first: found on 30 November 2026 to hide the word.
  for (const char* const text : {"a DOTMULTI b", "a DOT\x01MULTI b", "DOTDOTMULT\x02I"})
    expect_error<UnsupportedError>([&] { moses_tokenize(text, tables, "en", {}); },
                                   "holds the word DOTMULTI");
  EXPECT_EQ(moses_tokenize("a.\x01.", tables, "en", {}), "a ..");
}

}  // namespace
}  // namespace compat
