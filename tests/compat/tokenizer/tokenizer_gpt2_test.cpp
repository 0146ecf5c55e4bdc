#include <gtest/gtest.h>

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
using btm_test::TempDir;
using btm_test::write_file;

std::unique_ptr<Tokenizer> cut_down() {
  return load_gpt2_bpe(golden("gpt2/encoder.json"), golden("gpt2/vocab.bpe"));
}

std::vector<std::int32_t> ids_of(Tokenizer& tokenizer, std::string_view text) {
  Tokens tokens;
  tokenizer.encode(text, tokens);
  return tokens.ids;
}

std::string decoded(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::vector<std::string> symbols;
  for (const std::int32_t id : ids) symbols.push_back(tokenizer.symbol(id));
  return tokenizer.decode(std::vector<std::string_view>(symbols.begin(), symbols.end()));
}

TEST(Gpt2Bpe, EncodesAwkwardTextAsTiktoken) {
  const auto tokenizer = cut_down();
  std::istringstream text(read_file(golden("gpt2/awkward.txt"))),
      expected(read_file(golden("gpt2/awkward.ids")));
  std::size_t lines = 0;
  for (std::string line, ids; std::getline(text, line) && std::getline(expected, ids); ++lines) {
    std::string ours;
    for (const std::int32_t id : ids_of(*tokenizer, line))
      ours += (ours.empty() ? "" : " ") + tokenizer->symbol(id);
    ASSERT_EQ(ours, ids) << "line " << lines;
    ASSERT_EQ(decoded(*tokenizer, ids_of(*tokenizer, line)), line) << "line " << lines;
  }
  EXPECT_GT(lines, 100U);
}

TEST(Gpt2Bpe, PassesOverEmptyLinesOfMerges) {
  const TempDir folder;
  write_file(folder / "merges.txt", read_file(golden("gpt2/vocab.bpe")) + "\n\r\n");
  const auto tokenizer = load_gpt2_bpe(golden("gpt2/encoder.json"), folder / "merges.txt");
  EXPECT_EQ(ids_of(*tokenizer, "some words of text"), ids_of(*cut_down(), "some words of text"));
}

/// GPT-2's own loop, written for clarity. Each round merges every place of the best pair.
std::vector<std::string> merged_plainly(
    std::vector<std::string> parts,
    const std::vector<std::pair<std::string, std::string>>& merges) {
  while (true) {
    std::size_t best = merges.size();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      for (std::size_t rank = 0; rank < best; ++rank)
        if (merges[rank] == std::pair(parts[i], parts[i + 1])) best = rank;
    if (best == merges.size()) return parts;
    std::vector<std::string> next;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const bool here = i + 1 < parts.size() && merges[best] == std::pair(parts[i], parts[i + 1]);
      next.push_back(here ? parts[i] + parts[i + 1] : parts[i]);
      i += here;
    }
    parts = next;
  }
}

class SmallVocabulary {
 public:
  explicit SmallVocabulary(std::vector<std::pair<std::string, std::string>> merges)
      : merges_(std::move(merges)) {
    std::string json = read_file(golden("gpt2/encoder.json")), lines = "#version: 0.2\n";
    json.pop_back();
    int id = 5000;
    for (const auto& [left, right] : merges_) {
      if (json.find("\"" + left + right + "\":") == std::string::npos)
        json += ", \"" + left + right + "\": " + std::to_string(id++);
      lines += left + " " + right + "\n";
    }
    write_file(folder_ / "encoder.json", json + "}");
    write_file(folder_ / "vocab.bpe", lines);
  }
  std::unique_ptr<Tokenizer> tokenizer() const {
    return load_gpt2_bpe(folder_ / "encoder.json", folder_ / "vocab.bpe");
  }
  const std::vector<std::pair<std::string, std::string>>& merges() const { return merges_; }

 private:
  TempDir folder_;
  std::vector<std::pair<std::string, std::string>> merges_;
};

TEST(Gpt2Bpe, MergesShortAndLongWordsAsGpt2sLoop) {
  // "abab" can be merged in two ways, and "ba" overlaps with "ab". The result depends on the
  // rounds.
  const SmallVocabulary vocabulary({{"a", "b"},
                                    {"ab", "ab"},
                                    {"b", "a"},
                                    {"ab", "a"},
                                    {"aba", "b"},
                                    {"abab", "ab"},
                                    {"a", "a"},
                                    {"aa", "b"},
                                    {"ab", "b"}});
  const auto tokenizer = vocabulary.tokenizer();
  std::mt19937 random(5);
  for (int round = 0; round < 400; ++round) {
    const std::size_t size = round % 4 == 0 ? 120 + random() % 200 : 1 + random() % 60;
    std::string word;
    for (std::size_t i = 0; i < size; ++i) word += random() % 3 == 0 ? 'b' : 'a';
    std::vector<std::string> parts;
    for (const char c : word) parts.emplace_back(1, c);
    std::vector<std::string> ours;
    for (const std::int32_t id : ids_of(*tokenizer, word))
      ours.push_back(decoded(*tokenizer, {id}));
    ASSERT_EQ(ours, merged_plainly(parts, vocabulary.merges())) << word;
  }
}

TEST(Gpt2Bpe, TakesAMegabyteWithoutASpaceInReasonableTime) {
  const auto tokenizer = cut_down();
  std::mt19937 random(1);
  std::string word;
  while (word.size() < 1'000'000) word += static_cast<char>('a' + random() % 26);
  EXPECT_EQ(decoded(*tokenizer, ids_of(*tokenizer, word)), word);
}

TEST(Gpt2Bpe, GivesTheSameWhetherCachedOrNot) {
  const auto tokenizer = cut_down();
  const auto other = tokenizer->clone();
  const std::string text = "The cat sat on the mat. The cat sat on the mat.";
  const auto first = ids_of(*tokenizer, text);
  EXPECT_EQ(ids_of(*tokenizer, text), first);
  EXPECT_EQ(ids_of(*other, text), first);
}

TEST(Gpt2Bpe, KeepsItsCacheBounded) {
  const auto tokenizer = cut_down();
  for (int i = 0; i < 150'000; ++i) {
    const std::string word = "w" + std::to_string(i);
    if (i % 1000 == 0)
      ASSERT_EQ(decoded(*tokenizer, ids_of(*tokenizer, word)), word);
    else
      ids_of(*tokenizer, word);
  }
}

TEST(Gpt2Bpe, NamesSpecialTokensByTheirIds) {
  const auto tokenizer = cut_down();
  EXPECT_EQ(tokenizer->symbol_of_special("<|endoftext|>"), "2256");
  EXPECT_EQ(tokenizer->symbol_of_special("<eod>"), "<eod>");
  EXPECT_EQ(tokenizer->size(), 2257);
  EXPECT_EQ(tokenizer->unknown_id(), -1);
}

TEST(Gpt2Bpe, DecodesUnknownSymbolsAsThemselvesAndHalfCharactersAsPythonDoes) {
  const auto tokenizer = cut_down();
  const auto text = [&](std::vector<std::string_view> symbols) {
    return tokenizer->decode(symbols);
  };
  EXPECT_EQ(text({"<unk>", "39"}), "<unk>H");
  EXPECT_EQ(text({"99999999999999999999", "-1", "39x"}), "99999999999999999999-139x");
  const auto euro = ids_of(*tokenizer, "€");  // E2 82 AC
  ASSERT_EQ(euro.size(), 3U);
  EXPECT_EQ(decoded(*tokenizer, {euro[0], euro[1]}), "\uFFFD");
  EXPECT_EQ(decoded(*tokenizer, {euro[2], euro[0], euro[0]}), "\uFFFD\uFFFD\uFFFD");
}

struct BadFile {
  std::string encoder, merges, phrase;
};

TEST(Gpt2Bpe, RejectsFilesThatAreNotGpt2s) {
  const std::string good_encoder = read_file(golden("gpt2/encoder.json")),
                    good_merges = read_file(golden("gpt2/vocab.bpe"));
  const std::string without_a = [&] {
    std::string text = good_encoder;
    return text.replace(text.find("\"a\""), 3, "\"aQZ\"");
  }();
  const std::vector<BadFile> table{
      {"", good_merges, "is not JSON, expected GPT-2's encoder.json"},
      {"[1, 2]", good_merges, "not a JSON object"},
      {"{}", good_merges, "no token for the byte 0"},
      {"{\"a\": 1.5}", good_merges, "the token 'a' has the id 1.5"},
      {"{\"a\": -1}", good_merges, "expected 0 to 16777215"},
      {"{\"a\": 999999999}", good_merges, "expected 0 to 16777215"},
      {"{\"a\": 18446744073709551615}", good_merges, "expected 0 to 16777215"},
      {"{\"a\": 1, \"b\": 1}", good_merges, "two tokens have the id 1"},
      {"{\"a\": 1}", good_merges, "no token for the byte 0"},
      {without_a, good_merges, "no token for the byte 97"},
      {good_encoder, "", "no merges"},
      {good_encoder, "#version: 0.2\n", "no merges"},
      {good_encoder, "#version: 0.2\na b c\n", "[line 2]: 'a b c', expected two tokens"},
      {good_encoder, "#version: 0.2\nab\n", "expected two tokens"},
      {good_encoder, "#version: 0.2\nqzqz q\n", "the token 'qzqz' is not in encoder.json"},
      {good_encoder, "#version: 0.2\nz q\n", "the token 'zq' is not in encoder.json"},
  };
  for (const BadFile& bad : table) {
    const TempDir folder;
    write_file(folder / "encoder.json", bad.encoder);
    write_file(folder / "vocab.bpe", bad.merges);
    expect_error<FormatError>([&] { load_gpt2_bpe(folder / "encoder.json", folder / "vocab.bpe"); },
                              bad.phrase);
  }
  expect_error<IoError>([&] { load_gpt2_bpe("nowhere.json", golden("gpt2/vocab.bpe")); },
                        "nowhere.json");
}

TEST(Gpt2Bpe, RefusesAWordOfMoreThan16MiB) {
  const auto tokenizer = cut_down();
  const std::string word((std::size_t{1} << 24) + 1, 'x');
  expect_error<UnsupportedError>([&] { ids_of(*tokenizer, word); }, "a word of 16777217 bytes");
}

}  // namespace
}  // namespace compat
