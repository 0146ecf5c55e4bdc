#include "btm/cluster/corpus.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "btm/cluster/cluster_record.h"
#include "btm/cluster/split.h"
#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "tests/support/compress.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;

TEST(Corpus, ReadsLinesOfText) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "a.txt", "one two\nthree\n");
  const Corpus documents(dir / "a.txt", "");
  ASSERT_EQ(documents.size(), 2);
  EXPECT_EQ(documents.text(1), "three");
  EXPECT_EQ(documents.rule(), TermRule::kWords);
}

TEST(Corpus, ReadsTheTextsOfJsonl) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "a.jsonl", "{\"text\": \"a\\nb\"}\n{\"txt\": 1}\n[1]\n");
  const Corpus documents(dir / "a.jsonl", "");
  EXPECT_EQ(documents.text(0), "a\nb");
  expect_error<compat::FormatError>([&] { documents.text(1); }, "[line 2]: has no \"text\"");
  expect_error<compat::FormatError>([&] { documents.text(2); }, "[line 3]: is no JSON object");
}

/// Found on 30 November 2026: only plain text and .jsonl were read, others as bytes.
TEST(Corpus, ReadsCompressedTextAndAllNamesOfJsonLines) {
  const btm_test::TempDir dir;
  const std::string lines = "{\"text\": \"a b\"}\n{\"text\": \"c\"}\n";
  for (const char* const name : {"a.ndjson", "a.json", "a.jsonl.gz", "a.json.zst"}) {
    const std::string ending = std::filesystem::path(name).extension().string();
    btm_test::write_file(dir / name, ending == ".gz"    ? btm_test::gzipped(lines)
                                     : ending == ".zst" ? btm_test::zstd_compressed(lines)
                                                        : lines);
    const Corpus documents(dir / name, "");
    ASSERT_EQ(documents.size(), 2) << name;
    EXPECT_EQ(documents.text(0), "a b") << name;
  }
  btm_test::write_file(dir / "a.xz",
                       "\xfd"
                       "7zXZ");
  expect_error<compat::FormatError>([&] { Corpus(dir / "a.xz", ""); }, "is an xz file");
  btm_test::write_file(dir / "t.txt.gz", btm_test::gzipped("one\ntwo\n"));
  split_corpus(Corpus(dir / "t.txt.gz", ""), dir / "t.txt.gz", std::vector<std::uint32_t>{0, 0}, 1,
               std::string(64, 'a'), dir / "out");
  EXPECT_EQ(btm_test::read_file(dir / "out/c0/t.txt"), "one\ntwo\n");
}

TEST(Corpus, ReadsTheSequencesOfADataBin) {
  const Corpus pieces(golden("data-bin/perl/valid_perl"), ""),
      words(golden("data-bin/perl/valid_perl"), "sentencepiece");
  ASSERT_GT(pieces.size(), 10);
  EXPECT_EQ(pieces.rule(), TermRule::kPieces);
  EXPECT_EQ(words.rule(), TermRule::kWords);
  std::string joined;
  for (const char c : pieces.text(0))
    if (c != ' ') joined += c;
  for (std::size_t at; (at = joined.find("\xE2\x96\x81")) != std::string::npos;)
    joined.replace(at, 3, " ");
  std::string text = words.text(0);
  while (text.ends_with(' ')) text.pop_back();
  EXPECT_EQ(text, joined);
}

TEST(TokenText, ReadsIdsOfGpt2ByTheirBytes) {
  // The symbols are ids: of "the", " the", and the two bytes of an accented letter.
  const std::string encoder = golden("gpt2/encoder.json");
  const auto json = nlohmann::json::parse(btm_test::read_file(encoder));
  compat::Dictionary dictionary;
  std::vector<std::int64_t> ids;
  for (const char* token : {"t", "\u0120the", "\u00c3", "\u00a9"})
    ids.push_back(dictionary.add_symbol(std::to_string(json.at(token).get<std::int64_t>())));
  const TokenText tokens(dictionary, encoder);
  EXPECT_TRUE(tokens.joins());
  std::string text;
  for (const std::int64_t id : {ids[0], dictionary.eos(), ids[1], ids[2], ids[3]})
    tokens.append(id, text);
  EXPECT_EQ(text, "t the\u00e9");
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "x.json", "{\"a\": \"b\"}");
  expect_error<compat::FormatError>([&] { TokenText(dictionary, (dir / "x.json").string()); },
                                    "is not an integer, expected GPT-2's encoder.json");
  expect_error<compat::UsageError>([&] { TokenText(dictionary, "auto"); },
                                   "name GPT-2's encoder.json (--post-process");
}

TEST(Corpus, SaysWhatIsMissing) {
  const btm_test::TempDir dir;
  expect_error<compat::IoError>([&] { Corpus(dir / "none.txt", ""); }, "none.txt");
  btm_test::write_file(dir / "a.txt", "x\n");
  expect_error<compat::UsageError>([&] { Corpus(dir / "a.txt", "sentencepiece"); }, "is text");
  btm_test::write_file(dir / "b.idx", "x\n");
  expect_error<compat::IoError>([&] { Corpus(dir / "b", ""); }, "no dict.txt");
  expect_error<compat::UsageError>([&] { Corpus(golden("data-bin/perl/valid_perl"), "wordpiece"); },
                                   "expected auto, none, sentencepiece, subword_nmt or GPT-2's");
}

const std::string kModel(64, 'a'), kOther(64, 'b');

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

TEST(SplitCorpus, KeepsEveryLineOfText) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "train.txt", "a\nb\nc\n");
  const std::vector<std::uint32_t> clusters{1, 0, 1};
  const auto sizes = split_corpus(Corpus(dir / "train.txt", ""), dir / "train.txt", clusters, 2,
                                  kModel, dir / "out");
  EXPECT_EQ(sizes, (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(btm_test::read_file(dir / "out/c0/train.txt"), "b\n");
  EXPECT_EQ(btm_test::read_file(dir / "out/c1/train.txt"), "a\nc\n");
}

TEST(SplitCorpus, MakesDomainsOfADataBin) {
  const btm_test::TempDir dir;
  const std::filesystem::path prefix = golden("data-bin/perl/valid_perl");
  const Corpus documents(prefix, "");
  std::vector<std::uint32_t> clusters(static_cast<std::size_t>(documents.size()));
  for (std::size_t i = 0; i < clusters.size(); ++i) clusters[i] = i % 3 == 0 ? 1 : 0;
  split_corpus(documents, prefix, clusters, 2, kModel, dir / "out");
  const Corpus first(dir / "out/c1/valid_c1", ""), second(dir / "out/c0/valid_c0", "");
  EXPECT_EQ(first.size() + second.size(), documents.size());
  for (std::int64_t i = 0; i < first.size(); ++i) EXPECT_EQ(first.text(i), documents.text(3 * i));
  EXPECT_TRUE(first.dictionary() == documents.dictionary());
  EXPECT_EQ(btm_test::read_file(dir / "out/dict.txt"),
            btm_test::read_file(golden("data-bin/dict.txt")));
}

TEST(SplitCorpus, DropsWhatAnotherModelsSplitLeft) {
  const btm_test::TempDir dir;
  const std::filesystem::path out = dir / "out";
  const auto split = [&](const std::string& name, std::size_t count, const std::string& model) {
    const std::filesystem::path prefix = golden("data-bin/perl/" + name);
    const Corpus documents(prefix, "");
    std::vector<std::uint32_t> clusters(static_cast<std::size_t>(documents.size()));
    for (std::size_t i = 0; i < clusters.size(); ++i)
      clusters[i] = static_cast<std::uint32_t>(i % count);
    split_corpus(documents, prefix, clusters, count, model, out);
  };
  split("valid_perl", 3, kModel);
  split("test_perl", 3, kModel);  // another split by the same model: both stay
  EXPECT_EQ(names_in(out / "c2"),
            (std::set<std::string>{"cluster.json", "dict.txt", "valid_c2.bin", "valid_c2.idx",
                                   "test_c2.bin", "test_c2.idx"}));
  EXPECT_EQ(read_cluster_record(out / "c2")->files.size(), 5U);
  btm_test::write_file(out / "c0" / "notes", "the user's");
  split("valid_perl", 2, kOther);
  EXPECT_EQ(names_in(out), (std::set<std::string>{"c0", "c1", "dict.txt"}));
  EXPECT_EQ(names_in(out / "c1"),
            (std::set<std::string>{"cluster.json", "dict.txt", "valid_c1.bin", "valid_c1.idx"}));
  EXPECT_TRUE(std::filesystem::exists(out / "c0" / "notes"));
  EXPECT_EQ(read_cluster_record(out / "c1")->model_sha256, kOther);
  EXPECT_EQ(cluster_of_data(out / "c1")->cluster, 1U);
  // Files of unknown origin are not removed.
  btm_test::write_file(out / "c1" / "notes", "the user's");
  expect_error<compat::IoError>([&] { split("valid_perl", 1, kModel); },
                                "belongs to a split into more clusters and holds 'notes'");
  EXPECT_EQ(read_cluster_record(out / "c1")->model_sha256, kOther);
}

/// A split of a data-bin that has the dictionary `words` and one sequence, into one cluster.
void split_small(const std::filesystem::path& folder, const std::string& words,
                 const std::string& name, bool overwrite, const std::string& model = kModel) {
  const std::filesystem::path bin = folder / "bin";
  std::filesystem::create_directories(bin);
  btm_test::write_file(bin / "dict.txt", words);
  const auto dictionary = compat::Dictionary::load(bin / "dict.txt");
  const auto builder = compat::IndexedDatasetBuilder::create(bin / name, compat::DatasetImpl::kMmap,
                                                             dictionary.size());
  builder->add(std::vector<std::int64_t>{4, 5, 2});
  builder->finalize();
  const Corpus documents(bin / name, "none");
  check_split(documents, bin / name, 1, model, folder / "out", overwrite);
  split_corpus(documents, bin / name, std::vector<std::uint32_t>{0}, 1, model, folder / "out");
}

/// Found on 30 November 2026: valid1 became valid_cN and replaced the split of valid.
TEST(SplitCorpus, KeepsTheNumbersOfSets) {
  const btm_test::TempDir dir;
  for (const char* const name : {"train", "valid", "valid1", "test_law", "test12_law"})
    split_small(dir.path(), "a 1\nb 1\n", name, false);
  EXPECT_EQ(
      names_in(dir / "out/c0"),
      (std::set<std::string>{"cluster.json", "dict.txt", "train.bin", "train.idx", "valid_c0.bin",
                             "valid_c0.idx", "valid1_c0.bin", "valid1_c0.idx", "test_c0.bin",
                             "test_c0.idx", "test12_c0.bin", "test12_c0.idx"}));
}

TEST(CheckSplit, ReplacesOnlyWhenAsked) {
  const btm_test::TempDir dir;
  split_small(dir.path(), "a 1\nb 1\n", "valid", false);
  for (const char* const name : {"valid", "valid_law"})
    expect_error<compat::IoError>([&] { split_small(dir.path(), "a 1\nb 1\n", name, false); },
                                  "valid_c0.bin: is there already (--overwrite replaces it)");
  split_small(dir.path(), "a 1\nb 1\n", "valid", true);
  expect_error<compat::IoError>(
      [&] { split_small(dir.path(), "a 1\nb 1\n", "valid", false, kOther); },
      "out/c0: holds the split of another cluster model (--overwrite replaces it)");
}

TEST(CheckSplit, PutsNoDictionaryBesideSetsOfAnother) {
  const btm_test::TempDir dir;
  split_small(dir.path(), "a 1\nb 1\n", "valid", false);
  for (const bool overwrite : {false, true})
    expect_error<compat::IoError>(
        [&] { split_small(dir.path(), "b 1\na 1\n", "train", overwrite); },
        "out/c0/dict.txt: is another dictionary, and valid_c0 was made with it");
  EXPECT_EQ(btm_test::read_file(dir / "out/c0/dict.txt"), "a 1\nb 1\n");
  split_small(dir.path(), "b 1\na 1\n", "train", true, kOther);  // all sets of kModel go
  EXPECT_EQ(names_in(dir / "out/c0"),
            (std::set<std::string>{"cluster.json", "dict.txt", "train.bin", "train.idx"}));
  EXPECT_EQ(btm_test::read_file(dir / "out/dict.txt"), "b 1\na 1\n");
  std::filesystem::remove_all(dir / "out/c0");
  expect_error<compat::IoError>([&] { split_small(dir.path(), "a 1\nb 1\n", "train", false); },
                                "out/dict.txt: is there already, with other words (--overwrite");
}

}  // namespace
}  // namespace btm
