#include "compat/tokenizer/find_tokenizer.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

namespace fs = std::filesystem;
using btm_test::expect_error;
using btm_test::golden;
using btm_test::TempDir;

TokenizerOptions automatic() {
  TokenizerOptions options;
  options.bpe = kFoundTokenizer;
  return options;
}

Dictionary pieces() { return Dictionary::load(golden("data-bin/dict.txt")); }

FoundTokenizer found_in(const fs::path& folder, const Dictionary& dictionary,
                        const TokenizerOptions& options = automatic()) {
  return find_tokenizer(options, dictionary, "dict.txt", std::array{folder});
}

TEST(SymbolKind, IsThatOfMostSymbols) {
  const auto kind = [](const char* text) {
    return symbol_kind(Dictionary::parse(text, "dict.txt"));
  };
  EXPECT_EQ(symbol_kind(pieces()), SymbolKind::kPieces);
  EXPECT_EQ(kind("13 5\n262 4\nmadeupword0000 0\n"), SymbolKind::kGpt2Ids);
  EXPECT_EQ(kind("the 5\n1984 4\n"), SymbolKind::kWords);
  EXPECT_EQ(kind(""), SymbolKind::kWords);
}

TEST(FindTokenizer, TakesTheOneBesideTheDictionary) {
  const TempDir dir;
  fs::copy_file(golden("corpus/spm.model"), dir / "spm.model");
  btm_test::write_file(dir / "other.model", "not a model");
  EXPECT_EQ(found_in(dir.path(), pieces()).file, (dir / "spm.model").string());
  const fs::path nowhere = dir / "none";
  EXPECT_TRUE(
      find_tokenizer(automatic(), pieces(), "dict.txt", std::array{nowhere, dir.path()}).tokenizer);
  EXPECT_FALSE(found_in(dir.path(), Dictionary::parse("the 5\n", "dict.txt")).tokenizer);
  fs::copy_file(golden("gpt2/encoder.json"), dir / "vocab.json");
  fs::copy_file(golden("gpt2/vocab.bpe"), dir / "merges.txt");
  EXPECT_EQ(found_in(dir.path(), Dictionary::parse("13 5\n262 4\n", "dict.txt")).file,
            (dir / "vocab.json").string());
}

TEST(FindTokenizer, TakesTheOneThatIsNamed) {
  TokenizerOptions options = automatic();
  options.sentencepiece_model = golden("corpus/spm.model").string();
  EXPECT_EQ(found_in("/nowhere", pieces(), options).file, options.sentencepiece_model);
  options.gpt2_vocab_bpe = "vocab.bpe";
  expect_error<UsageError>([&] { found_in("/nowhere", pieces(), options); }, "exclude each other");
  options = {"none", {}, {}, {}};
  EXPECT_FALSE(found_in("/nowhere", pieces(), options).tokenizer);
}

/// Found on 30 November 2026: a damaged table of moses was reported as a missing tokenizer.
TEST(FindTokenizer, NamesADamagedTableOfMoses) {
  const TempDir dir;
  fs::copy_file(golden("corpus/spm.model"), dir / "spm.model");
  fs::copy(golden("moses"), dir / "data", fs::copy_options::recursive);
  TokenizerOptions options = automatic();
  options.tokenizer = "moses";
  options.moses_data = (dir / "data").string();
  EXPECT_EQ(found_in(dir.path(), pieces(), options).file, (dir / "spm.model").string());
  btm_test::write_file(dir / "data/perluniprops/IsLower.txt", "a\xff");
  expect_error<FormatError>([&] { found_in(dir.path(), pieces(), options); },
                            "IsLower.txt+0x1: is not UTF-8");
}

TEST(FindTokenizer, SaysWhatIsMissing) {
  const TempDir dir;
  expect_error<UsageError>([&] { found_in(dir.path(), pieces()); },
                           "dict.txt holds pieces of a sentencepiece model, and there is none "
                           "beside it or the model: expected --sentencepiece-model");
  expect_error<UsageError>([&] { found_in(dir.path(), Dictionary::parse("13 5\n", "dict.txt")); },
                           "dict.txt holds ids of GPT-2's BPE");
  fs::copy_file(golden("corpus/spm.model"), dir / "a.model");
  fs::copy_file(golden("corpus/spm.model"), dir / "b.model");
  expect_error<UsageError>([&] { found_in(dir.path(), pieces()); }, "both fit the dictionary");
  const auto other = Dictionary::parse("\u2581foo 5\n\u2581bar 4\n", "dict.txt");
  EXPECT_TRUE(found_in(dir.path(), other).tokenizer);  // whose codec then says that it does not fit
}

}  // namespace
}  // namespace compat
