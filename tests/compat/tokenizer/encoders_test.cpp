// fastBPE, bytes, characters, hf_byte_bpe and the tokenizer 'space' against fairseq 0.12.2's
// encoders (scripts/make-encoders-golden).
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/tokenizer/byte_characters.h"
#include "compat/tokenizer/fastbpe.h"
#include "compat/tokenizer/find_tokenizer.h"
#include "compat/tokenizer/text_codec.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using nlohmann::json;

TokenizerOptions options_of(const std::string& name) {
  TokenizerOptions options;
  options.bpe = name;
  options.bpe_codes = golden("encoders/codes").string();
  options.bpe_vocab = golden("gpt2/encoder.json").string();
  options.bpe_merges = golden("gpt2/vocab.bpe").string();
  if (name == "fastbpe_vocab") {
    options.bpe = "fastbpe";
    options.fastbpe_vocab = golden("encoders/vocab").string();
  } else if (name == "hf_byte_bpe_prefix") {
    options.bpe = "hf_byte_bpe";
    options.bpe_add_prefix_space = true;
  } else if (name == "space+hf_byte_bpe") {
    options.bpe = "hf_byte_bpe";
    options.tokenizer = "space";
  }
  return options;
}

std::vector<std::string> symbols_of(Tokenizer& tokenizer, std::string_view text) {
  Tokens tokens;
  tokenizer.encode(text, tokens);
  std::vector<std::string> symbols;
  std::size_t unknown = 0;
  for (const std::int32_t id : tokens.ids) {
    const std::string symbol =
        id == tokenizer.unknown_id() ? tokens.unknown[unknown++] : tokenizer.symbol(id);
    for (const auto word : split_whitespace(symbol)) symbols.emplace_back(word);
  }
  return symbols;
}

std::string joined(const std::vector<std::string>& symbols) {
  std::string text;
  for (const std::string& symbol : symbols) text += (text.empty() ? "" : " ") + symbol;
  return text;
}

std::vector<json> expected() {
  std::vector<json> rows;
  const std::string text = btm_test::read_file(golden("encoders/expected.jsonl"));
  for (std::size_t from = 0, to; (to = text.find('\n', from)) != std::string::npos; from = to + 1)
    rows.push_back(json::parse(text.substr(from, to - from)));
  return rows;
}

TEST(Encoders, EncodeAndDecodeAsFairseq) {
  const std::vector<json> rows = expected();
  ASSERT_GT(rows.size(), 20U);
  for (const char* name : {"characters", "bytes", "fastbpe", "fastbpe_vocab", "hf_byte_bpe",
                           "hf_byte_bpe_prefix", "space+hf_byte_bpe"}) {
    const auto tokenizer = load_tokenizer(options_of(name))->clone();
    for (const json& row : rows) {
      const std::vector<std::string> symbols =
          symbols_of(*tokenizer, row["text"].get<std::string>());
      EXPECT_EQ(joined(symbols), row[name].get<std::string>()) << name << ' ' << row["text"];
      const std::string back = std::string(name) + " back";
      if (!row.contains(back)) continue;
      const std::vector<std::string_view> views(symbols.begin(), symbols.end());
      EXPECT_EQ(tokenizer->decode(views), row[back].get<std::string>()) << name;
    }
  }
}

/// fastBPE's rule word for word: all occurrences of the earliest pair, then the next search.
std::string merged_plainly(const std::vector<std::pair<std::string, std::string>>& codes,
                           const std::string& word) {
  std::vector<std::string> pieces;
  for (const char c : word) pieces.emplace_back(1, c);
  pieces.back() += "</w>";
  const auto is_at = [&](std::size_t i, const std::pair<std::string, std::string>& pair) {
    return i + 1 < pieces.size() && pieces[i] == pair.first && pieces[i + 1] == pair.second;
  };
  for (std::size_t code = 0; code < codes.size();) {
    bool found = false;
    std::vector<std::string> next;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const bool here = is_at(i, codes[code]);
      next.push_back(here ? pieces[i] + pieces[i + 1] : pieces[i]);
      found = found || here;
      i += here ? 1 : 0;
    }
    pieces = std::move(next);
    code = found ? 0 : code + 1;
  }
  pieces.back().resize(pieces.back().size() - 4);
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) pieces[i] += "@@";
  return joined(pieces);
}

TEST(Encoders, FastBpeMergesAPairWhereverItIsBeforeTheNextSearch) {
  const btm_test::TempDir dir;
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return random() % n; };
  const auto check = [&](const std::vector<std::pair<std::string, std::string>>& codes,
                         const std::string& word) {
    std::string text;
    for (const auto& [left, right] : codes) text += left + ' ' + right + " 1\n";
    btm_test::write_file(dir / "codes", text);
    const auto tokenizer = load_fastbpe(dir / "codes", {});
    EXPECT_EQ(joined(symbols_of(*tokenizer, word)), merged_plainly(codes, word)) << word << '\n'
                                                                                 << text;
  };
  // The first merge makes a pair of a lower rank, which waits until "ab" is merged everywhere.
  check({{"ab", "a"}, {"a", "b"}}, "ababab");
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> symbols{"a", "b", "a</w>", "b</w>"};
    std::vector<std::pair<std::string, std::string>> codes;
    std::set<std::string> made;
    for (int i = 0; i < 12; ++i) {
      const std::string left = symbols[below(symbols.size())];
      const std::string right = symbols[below(symbols.size())];
      if (left.ends_with('>') || !made.insert(left + right).second) continue;
      codes.emplace_back(left, right);
      symbols.push_back(left + right);
    }
    std::ranges::shuffle(codes, random);
    if (codes.empty()) continue;
    std::string word;
    for (std::size_t i = 0, size = 1 + below(40); i < size; ++i) word += "ab"[below(2)];
    check(codes, word);
  }
}

TEST(Encoders, FastBpeTakesLongWords) {
  const btm_test::TempDir dir;
  // 3600 codes and a word of 200 KB that needs all of them. One pass over the word for each code
  // took 31 s; the heap takes less than a second.
  constexpr int kLetters = 60;
  const auto letter = [](std::size_t i) { return static_cast<char>('?' + i); };
  std::string codes, word;
  for (std::size_t i = 0; i < kLetters; ++i)
    for (std::size_t k = 0; k < kLetters; ++k) codes += {letter(i), ' ', letter(k), ' ', '1', '\n'};
  std::mt19937 random(1);
  while (word.size() < 200'000) word += letter(random() % kLetters);
  btm_test::write_file(dir / "codes", codes);
  const auto tokenizer = load_fastbpe(dir / "codes", {});
  const auto start = std::chrono::steady_clock::now();
  const std::vector<std::string> symbols = symbols_of(*tokenizer, word);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  const std::vector<std::string_view> views(symbols.begin(), symbols.end());
  EXPECT_EQ(tokenizer->decode(views), word);
}

TEST(Encoders, GiveAnEmptyTextNoPrefixSpace) {
  const auto tokenizer = with_prefix_space(character_tokenizer());
  EXPECT_EQ(symbols_of(*tokenizer, "a").size(), 2U);
  EXPECT_EQ(symbols_of(*tokenizer, " a").size(), 2U);
  EXPECT_EQ(symbols_of(*tokenizer, "").size(), 0U);
}

TEST(Encoders, LeaveOutBrokenBytes) {
  const auto tokenizer = byte_tokenizer();
  const json rows = json::parse(btm_test::read_file(golden("encoders/broken_bytes.json")));
  ASSERT_EQ(rows.size(), 4U);
  for (const json& row : rows) {
    const auto symbols = row[0].get<std::vector<std::string>>();
    EXPECT_EQ(tokenizer->decode(std::vector<std::string_view>(symbols.begin(), symbols.end())),
              row[1].get<std::string>());
  }
}

TEST(Encoders, FitTheDictionariesThatTheyMake) {
  for (const char* name : {"characters", "bytes", "fastbpe"}) {
    const auto tokenizer = load_tokenizer(options_of(name));
    SymbolCounter counter(tokenizer.get(), "");
    counter.count("the theatre of the absurd");
    Dictionary dictionary;
    counter.add_to(dictionary);
    TextCodec codec(dictionary, "dict.txt", tokenizer->clone(), name);
    const auto ids = codec.encode("the absurd theatre");
    EXPECT_EQ(codec.unknown(), 0) << name;
    EXPECT_EQ(codec.decode(ids), "the absurd theatre") << name;
    TextStream stream(codec);
    std::string text;
    for (const std::int64_t id : ids) text += stream.push(id);
    EXPECT_EQ(text + stream.finish(), "the absurd theatre") << name;
  }
  Dictionary words;
  words.add_symbol("zebra");
  EXPECT_EQ(tokenizer_fit(words, *character_tokenizer()).foreign, 1);
  EXPECT_EQ(tokenizer_fit(words, *load_tokenizer(options_of("fastbpe"))).foreign, 1);
}

TEST(Encoders, RefuseBadCodesAndVocabularies) {
  const btm_test::TempDir dir;
  struct Row {
    const char *codes, *vocabulary, *phrase;
  };
  for (const Row& row :
       {Row{"", "", "no merges, expected codes of fastBPE"},
        Row{"a b 1\na b 2\n", "", "line 2]: repeats 'a'"},
        Row{"ab c 1\na bc 2\n", "", "line 2]: repeats 'a'"},
        Row{"a b\n", "", "line 1]: has 2 words, expected two symbols and a count"},
        Row{"a b c\n", "", "line 1]: has 3 words"}, Row{"a b 1\n\n", "", "line 2]: has 0 words"},
        Row{"a\xff b 1\n", "", "is not UTF-8"},
        Row{"a b 1\n", "x\n", "line 1]: has 1 words, expected a symbol and a count"},
        Row{"a b 1\n", "x 1\nx 2\n", "line 2]: repeats 'x'"}}) {
    btm_test::write_file(dir / "codes", row.codes);
    btm_test::write_file(dir / "vocab", row.vocabulary);
    expect_error<FormatError>(
        [&] {
          load_fastbpe(dir / "codes",
                       *row.vocabulary == 0 ? std::filesystem::path() : dir / "vocab");
        },
        row.phrase);
  }
}

TEST(Encoders, AreFoundByTheirFlags) {
  const Dictionary dictionary;
  const auto found = [&](const TokenizerOptions& options) {
    return find_tokenizer(options, dictionary, "dict.txt", {}).file;
  };
  TokenizerOptions options{.bpe = kFoundTokenizer};
  options.bpe_codes = golden("encoders/codes").string();
  EXPECT_EQ(found(options), options.bpe_codes);
  EXPECT_EQ(found({.bpe = "bytes"}), "--bpe bytes");
  options.sentencepiece_model = "x";
  expect_error<UsageError>([&] { found(options); },
                           "files for --bpe sentencepiece and --bpe fastbpe exclude each other");
  for (const char* bpe : {"fastbpe", "hf_byte_bpe"})
    expect_error<UsageError>([&] { load_tokenizer({.bpe = bpe}); }, " needs --bpe-");
  TokenizerOptions moses{.bpe = "none"};
  moses.tokenizer = "moses";
  expect_error<UsageError>([&] { found(moses); }, "--tokenizer moses needs --moses-data");
  moses.tokenizer = "nltk";
  expect_error<UsageError>([&] { load_tokenizer(moses); }, "a trained Punkt model");
  moses.bpe = "sentencepiece";  // not that there is no model
  expect_error<UsageError>([&] { found(moses); }, "a trained Punkt model");
  moses.tokenizer = "x";
  expect_error<UsageError>([&] { load_tokenizer(moses); }, "expected none, space or moses");
}

}  // namespace
}  // namespace compat
