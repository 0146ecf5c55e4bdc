#include "compat/fairseq/dictionary.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using Ids = std::vector<std::int64_t>;

Dictionary parsed(std::string_view text) { return Dictionary::parse(text, "dict.txt"); }

TEST(Dictionary, BeginsWithTheSpecialSymbols) {
  const Dictionary dictionary;
  EXPECT_EQ(dictionary.size(), 4);
  EXPECT_EQ(dictionary.symbol(dictionary.bos()), "<s>");
  EXPECT_EQ(dictionary.symbol(dictionary.pad()), "<pad>");
  EXPECT_EQ(dictionary.symbol(dictionary.eos()), "</s>");
  EXPECT_EQ(dictionary.symbol(dictionary.unk()), "<unk>");
}

TEST(Dictionary, ReadsTheGoldenFileAndWritesItsBytes) {
  const btm_test::TempDir dir;
  for (const char* name :
       {"data-bin/dict.txt", "data-bin/fortunes/dict.txt", "data-bin/perl/dict.txt"}) {
    const Dictionary dictionary = Dictionary::load(btm_test::golden(name));
    EXPECT_EQ(dictionary.size(), 2112);
    dictionary.save(dir / "dict.txt");
    EXPECT_EQ(btm_test::read_file(dir / "dict.txt"), btm_test::read_file(btm_test::golden(name)))
        << name;
  }
}

TEST(Dictionary, ReadsWordsAsFairseq) {
  const Dictionary dictionary = parsed("a 3\r\nb c +4\n  d 5\u2003\nmadeupword0000 0\n\u00e9 -1");
  EXPECT_EQ(dictionary.size(), 9);
  EXPECT_EQ(dictionary.count(dictionary.index("a")), 3);
  EXPECT_EQ(dictionary.count(dictionary.index("b c")),
            4);  // the last space separates word and count
  EXPECT_EQ(dictionary.index("  d"), 6);
  EXPECT_EQ(dictionary.count(8), -1);
  EXPECT_EQ(dictionary.index("missing"), dictionary.unk());
  EXPECT_EQ(dictionary.symbol(99), "<unk>");
  EXPECT_EQ(dictionary.symbol(-1), "<unk>");
}

TEST(Dictionary, OverwritesWhereTheFileSaysSo) {
  const Dictionary dictionary = parsed("a 1\n</s> 9 #fairseq:overwrite\na 2 #fairseq:overwrite\n");
  EXPECT_EQ(dictionary.size(), 7);  // the earlier entries stay, as in fairseq
  EXPECT_EQ(dictionary.index("</s>"), 5);
  EXPECT_EQ(dictionary.index("a"), 6);
}

TEST(Dictionary, RefusesWhatFairseqRefuses) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"a 1\nb\n", "dict.txt[line 2]: 'b', expected '<token> <count> [flags]'"},
      {"a 1\n\nb 2\n", "dict.txt[line 2]: '', expected '<token> <count>"},
      {"a x\n", "expected '<token> <count>"},
      {"a 1.5\n", "expected '<token> <count>"},
      {"a +-5\n", "expected '<token> <count>"},
      {"a 99999999999999999999\n", "expected '<token> <count>"},
      {"a\t1\n", "expected '<token> <count>"},
      {"#fairseq:overwrite\n", "expected '<token> <count>"},
      {"a 1\na 2\n",
       "dict.txt[line 2]: the word 'a' exists already (allowed with the flag "
       "#fairseq:overwrite)"},
      {"<pad> 1\n", "the word '<pad>' exists already"},
      {std::string((16 << 20) + 1, 'x') + " 1\n",
       "[line 1]: a word of 16777217 bytes, expected at most 16777216"},
      {"a 1\n\xff 2\n", "dict.txt+0x4: not UTF-8, expected a dict.txt"},
      {"{\"json\": true}\n", "expected '<token> <count>"},
      {std::string(100'000, 'x') + "\n", "xxx...', expected"},
  };
  for (const auto& [text, phrase] : rows) {
    SCOPED_TRACE(phrase);
    btm_test::expect_error<FormatError>([&text = text] { parsed(text); }, phrase);
  }
}

TEST(Dictionary, RefusesWhatIsNoFile) {
  btm_test::expect_error<IoError>([] { Dictionary::load("/nonexistent/dict.txt"); },
                                  "/nonexistent/dict.txt: cannot open");
  btm_test::expect_error<IoError>([] { Dictionary::load(btm_test::golden("data-bin")); },
                                  "is a directory");
  btm_test::expect_error<FormatError>(
      [] { Dictionary::load(btm_test::golden("variants/zip_dict.pt")); },
      "not UTF-8, expected a dict.txt");
}

TEST(Dictionary, AddsCountsOfAWordThatIsThere) {
  Dictionary dictionary;
  EXPECT_EQ(dictionary.add_symbol("a", 2), 4);
  EXPECT_EQ(dictionary.add_symbol("a", 3), 4);
  EXPECT_EQ(dictionary.count(4), 5);
  dictionary.add_symbol("a", INT64_MAX);
  EXPECT_EQ(dictionary.count(4), INT64_MAX);
}

TEST(Dictionary, FinalizesAsFairseq) {
  Dictionary dictionary;
  for (const auto& [word, count] :
       std::vector<std::pair<const char*, int>>{{"b", 2}, {"c", 5}, {"a", 2}, {"d", 1}})
    dictionary.add_symbol(word, count);
  dictionary.finalize(2);
  std::vector<std::string> words;
  for (std::int64_t i = 4; i < dictionary.size(); ++i) words.push_back(dictionary.symbol(i));
  EXPECT_EQ(words, (std::vector<std::string>{"c", "a", "b", "madeupword0000"}));
}

TEST(Dictionary, PointsToDictionariesOfAnotherName) {
  const btm_test::TempDir dir;
  btm_test::expect_error<IoError>([&] { Dictionary::load(dir / "dict.txt"); },
                                  "dict.txt: cannot open: No such file");
  btm_test::write_file(dir / "dict.prompt.txt", "a 1\n");
  btm_test::write_file(dir / "dict.txt.orig", "a 1\n");
  btm_test::expect_error<IoError>([&] { Dictionary::load(dir / "dict.txt"); },
                                  "dict.txt: does not exist, but dict.prompt.txt does: if that is "
                                  "the dictionary of this data, copy it to dict.txt");
  btm_test::write_file(dir / "dict.en.txt", "a 1\n");
  btm_test::expect_error<IoError>([&] { Dictionary::load(dir / "dict.txt"); },
                                  "but dict.en.txt or dict.prompt.txt does");
  btm_test::expect_error<IoError>([&] { Dictionary::load(dir / "words.txt"); },
                                  "words.txt: cannot open");
  btm_test::write_file(dir / "dict.txt", "b 1\n");
  EXPECT_EQ(Dictionary::load(dir / "dict.txt").size(), 5);
}

TEST(Dictionary, KeepsAtMostNwords) {
  Dictionary dictionary;
  for (const char* word : {"a", "b", "c"}) dictionary.add_symbol(word);
  dictionary.finalize(-1, 6, 1);
  EXPECT_EQ(dictionary.size(), 6);
}

TEST(Dictionary, EncodesLines) {
  const Dictionary dictionary = parsed("a 1\nb 1\n");
  EXPECT_EQ(dictionary.encode_line(" a x\tb "), (Ids{4, 3, 5, 2}));
  EXPECT_EQ(dictionary.encode_line("a", false), (Ids{4}));
  EXPECT_EQ(dictionary.encode_line(""), (Ids{2}));
}

}  // namespace
}  // namespace compat
