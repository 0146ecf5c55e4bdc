#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "converters/commands.h"
#include "converters/data_sets.h"
#include "tests/support/bytes.h"
#include "tests/support/command_output.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

namespace fs = std::filesystem;
using btm_test::expect_error;
using btm_test::golden;
using btm_test::le;
using btm_test::read_file;
using btm_test::TempDir;
using btm_test::write_file;
using Sequences = std::vector<std::vector<std::int64_t>>;

const std::vector<std::string> kForms{"mmap",    "cached", "lazy",  "raw",
                                      "huffman", "zst",    "jsonl", "npy"};

std::string convert(const std::vector<std::string>& args) {
  return btm_test::output_of(converters::run_data_bin, args);
}

void write_data_bin(const fs::path& prefix, const Sequences& sequences,
                    std::string_view dtype = "uint16") {
  fs::create_directories(prefix.parent_path());
  const auto builder =
      compat::IndexedDatasetBuilder::create(prefix, compat::DatasetImpl::kMmap, 0, dtype);
  for (const auto& ids : sequences) builder->add(ids);
  builder->finalize();
}

Sequences read_all(const fs::path& prefix) {
  const auto dictionary = converters::dictionary_beside(prefix);
  const auto dataset = converters::open_data_set(prefix, dictionary.get());
  Sequences sequences;
  for (std::int64_t i = 0; i < dataset->size(); ++i) sequences.push_back(dataset->sequence(i));
  return sequences;
}

std::string dictionary_of(int words, const std::string& stem = "w") {
  std::string text;
  for (int i = 0; i < words; ++i) text += stem + std::to_string(i) + " 1\n";
  return text;
}

/// The relative path and the content of every file in a folder.
std::map<std::string, std::string> files_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder).string()] = read_file(entry.path());
  return files;
}

TEST(DataBin, GoldenFoldersComeBackByteIdenticalThroughEveryForm) {
  const TempDir folder;
  const auto original = files_in(golden("data-bin"));
  for (const std::string& form : kForms) {
    convert({golden("data-bin"), folder / form, "--to", form});
    convert({folder / form, folder / (form + ".back")});
    EXPECT_EQ(files_in(folder / (form + ".back")), original) << form;
  }
}

TEST(DataBin, LegacyAndRawAreWhatFairseqWrites) {
  const TempDir folder;
  const std::string in = golden("data-bin/fortunes/valid_fortunes");
  convert({in, folder / "cached" / "valid", "--to", "cached"});
  convert({in, folder / "raw" / "valid", "--to", "raw"});
  for (const char* const file : {"cached/valid.bin", "cached/valid.idx", "raw/valid.None-None"})
    EXPECT_EQ(read_file(folder / file), read_file(golden("data-bin-impl") / file)) << file;
}

TEST(DataBin, RandomDataComesBackThroughEveryForm) {
  std::mt19937 random(11);
  for (int round = 0; round < 12; ++round) {
    const TempDir folder;
    const int words = round % 3 == 0 ? 70000 : 100;  // beyond 65500 ids take four bytes
    write_file(folder / "dict.txt", dictionary_of(words));
    Sequences sequences(random() % 20);
    for (auto& ids : sequences) {
      ids.resize(random() % 10);
      for (auto& id : ids)
        id = static_cast<std::int64_t>(random() % static_cast<unsigned>(words + 4));
      ids.push_back(2);  // raw text needs it at the end of a sequence
    }
    write_data_bin(folder / "in", sequences, words > 65500 ? "int32" : "uint16");
    for (const std::string& form : kForms) {
      convert({folder / "in", folder / form / "data", "--to", form});
      EXPECT_EQ(read_all(folder / form / "data"), sequences) << form;
      convert({folder / form / "data", folder / (form + "2") / "data", "--to", "mmap"});
      EXPECT_EQ(read_all(folder / (form + "2") / "data"), sequences) << form << " and back";
    }
  }
}

TEST(DataBin, EmptySequencesAndSingleTokensComeBackWithoutDictionary) {
  const TempDir folder;
  for (const Sequences& sequences :
       {Sequences{}, Sequences{{}}, Sequences{{7}}, Sequences{{}, {65535}, {}, {0, 1}}}) {
    const TempDir out;
    write_data_bin(out / "in", sequences);
    for (const std::string form : {"mmap", "lazy", "zst", "jsonl", "npy"}) {
      convert({out / "in", out / form / "data", "--to", form});
      EXPECT_EQ(read_all(out / form / "data"), sequences) << form;
    }
  }
}

TEST(DataBin, ReadsBeyondTwoGigabytes) {
  const TempDir folder;
  // 2^30 + 7 tokens of a sparse file precede the ones that are read.
  const std::int32_t first = (1 << 30) + 7;
  write_file(folder / "in.idx", std::string("MMIDIDX\0\0", 9) + le<std::uint64_t>(1) + "\x08" +
                                    le<std::uint64_t>(2) + le(first) + le<std::int32_t>(3) +
                                    le<std::int64_t>(0) +
                                    le<std::int64_t>(std::int64_t{first} * 2));
  {
    std::ofstream out(folder / "in.bin", std::ios::binary);
    out.seekp(std::int64_t{first} * 2);
    out << le<std::uint16_t>(5) << le<std::uint16_t>(6) << le<std::uint16_t>(2);
  }
  ASSERT_GT(fs::file_size(folder / "in.bin"), std::uintmax_t{1} << 31);
  for (const std::string form : {"mmap", "lazy", "zst", "jsonl", "npy"}) {
    convert({folder / "in", folder / form / "data", "--to", form, "--sequences", "1:"});
    EXPECT_EQ(read_all(folder / form / "data"), (Sequences{{5, 6, 2}})) << form;
  }
}

TEST(DataBin, MapsIdsBySymbol) {
  const TempDir folder;
  write_file(folder / "dict.txt", "a 3\nb 2\nc 1\n");
  write_file(folder / "new.txt", "c 9\na 5\nmadeupword0000 0\nb 1\n");
  write_file(folder / "small.txt", "c 9\na 5\n");
  write_data_bin(folder / "in", {{4, 5, 6, 2}, {3, 2}});
  convert({folder / "in", folder / "out" / "data", "--dict", folder / "new.txt"});
  EXPECT_EQ(read_all(folder / "out" / "data"), (Sequences{{5, 7, 4, 2}, {3, 2}}));
  EXPECT_EQ(read_file(folder / "out" / "dict.txt"), read_file(folder / "new.txt"));
  expect_error<compat::FormatError>(
      [&] {
        convert({folder / "in", folder / "lost" / "data", "--dict", folder / "small.txt"});
      },
      "the symbol 'b' is not in the new dictionary");
  convert(
      {folder / "in", folder / "unk" / "data", "--dict", folder / "small.txt", "--allow-unknown"});
  EXPECT_EQ(read_all(folder / "unk" / "data"), (Sequences{{5, 3, 4, 2}, {3, 2}}));
}

TEST(DataBin, JoinsInputsOfOneDictionary) {
  const TempDir folder;
  for (const std::string side : {"a", "b"}) {
    write_data_bin(folder / side / "train", {{side == "a" ? 4 : 5, 2}});
    write_file(folder / side / "dict.txt", dictionary_of(4));
  }
  write_data_bin(folder / "b" / "valid", {{6, 2}});
  convert({(folder / "a").string() + ":" + (folder / "b").string(), folder / "joined"});
  EXPECT_EQ(read_all(folder / "joined" / "train"), (Sequences{{4, 2}, {5, 2}}));
  EXPECT_EQ(read_all(folder / "joined" / "valid"), (Sequences{{6, 2}}));
  write_file(folder / "b" / "dict.txt", dictionary_of(4, "x"));
  expect_error<compat::UsageError>(
      [&] {
        convert({(folder / "a").string() + ":" + (folder / "b").string(), folder / "other"});
      },
      "another dictionary");
  EXPECT_FALSE(fs::exists(folder / "other"));
}

TEST(DataBin, ChoosesShufflesAndShards) {
  const TempDir folder;
  Sequences sequences;
  for (std::int64_t i = 0; i < 10; ++i) sequences.push_back({i + 10});
  write_data_bin(folder / "in" / "train", sequences);
  write_data_bin(folder / "in" / "valid", {{1}});
  convert({folder / "in" / "train", folder / "some" / "train", "--sequences", "8:,0:2"});
  EXPECT_EQ(read_all(folder / "some" / "train"), (Sequences{{18}, {19}, {10}, {11}}));

  convert({folder / "in", folder / "shuffled", "--shuffle", "1", "--shards", "3"});
  Sequences together;
  for (const char* const shard : {"shard0", "shard1", "shard2"})
    for (auto& ids : read_all(folder / "shuffled" / shard / "train")) together.push_back(ids);
  EXPECT_NE(together, sequences);
  EXPECT_TRUE(std::ranges::is_permutation(together, sequences));
  EXPECT_EQ(read_all(folder / "shuffled" / "shard0" / "train").size(), 4U);
  EXPECT_EQ(read_all(folder / "shuffled" / "shard0" / "valid"), (Sequences{{1}}));
  EXPECT_FALSE(fs::exists(folder / "shuffled" / "shard1" / "valid.idx"));

  convert({folder / "in" / "train", folder / "cut" / "train", "--shards", "2"});
  EXPECT_EQ(read_all(folder / "cut" / "train").size(), 5U);
  EXPECT_EQ(read_all(folder / "cut" / "train1").front(), (std::vector<std::int64_t>{15}));
}

TEST(DataBin, ShuffleIsTheSameEverywhere) {
  const TempDir folder;
  write_data_bin(folder / "in", {{0}, {1}, {2}, {3}, {4}, {5}});
  convert({folder / "in", folder / "out", "--shuffle", "42"});
  // The result of Fisher and Yates from the back, with the generator's published recurrence and
  // seed 42.
  EXPECT_EQ(read_all(folder / "out"), (Sequences{{3}, {1}, {5}, {2}, {4}, {0}}));
}

TEST(DataBin, RefusesBadInput) {
  const TempDir folder;
  write_data_bin(folder / "in", {{4, 5}});
  const std::string in = folder / "in";
  expect_error<compat::IoError>(
      [&] {
        convert({folder / "none", folder / "x"});
      },
      "no data set or folder of this name");
  expect_error<compat::IoError>(
      [&] {
        convert({folder.path().string(), folder / "x"});
        convert({folder.path().string(), folder / "x"});
      },
      "is there already (--overwrite replaces it)");
  expect_error<compat::UsageError>(
      [&] {
        convert({in, folder / "y", "--to", "text"});
      },
      "needs a tokenizer");
  expect_error<compat::UsageError>(
      [&] {
        convert({in, folder / "y", "--to", "raw"});
      },
      "needs a dict.txt");
  expect_error<compat::UsageError>(
      [&] {
        convert({in, folder / "y", "--to", "parquet"});
      },
      "expected one of mmap, cached");
  expect_error<compat::UsageError>(
      [&] {
        convert({in, folder / "y", "--sequences", "5"});
      },
      "expected ranges such as");
  expect_error<compat::UsageError>(
      [&] {
        convert({in, folder / "y", "--dict", golden("data-bin/dict.txt")});
      },
      "no dict.txt beside it");
  write_file(folder / "dict.txt", "a 1\n");
  expect_error<compat::FormatError>(
      [&] {
        convert({in, folder / "y" / "data"});
      },
      "holds the token id 5, the dictionary has 5 symbols");
  EXPECT_TRUE(fs::is_empty(folder / "y"));
}

TEST(DataBin, RawTextRefusesWhatItCannotHold) {
  const TempDir folder;
  write_file(folder / "dict.txt", "a 1\n");
  write_data_bin(folder / "in", {{4, 2}, {4}});
  expect_error<compat::UnsupportedError>(
      [&] {
        convert({folder / "in", folder / "out", "--to", "raw"});
      },
      "sequence 1 does not end with </s>");
  EXPECT_FALSE(fs::exists(folder / "out.None-None"));
}

/// Makes `folder` the current folder during the life of this object.
struct Inside {
  fs::path before = fs::current_path();
  explicit Inside(const fs::path& folder) { fs::current_path(folder); }
  ~Inside() { fs::current_path(before); }
};

TEST(DataBin, WritesIntoTheCurrentFolder) {
  const TempDir folder;
  write_file(folder / "dict.txt", dictionary_of(4));
  write_data_bin(folder / "in", {{4, 2}});
  fs::create_directories(folder / "here");
  const Inside inside(folder / "here");
  convert({"../in", "out"});
  EXPECT_EQ(read_all("out"), (Sequences{{4, 2}}));
  EXPECT_EQ(read_file("dict.txt"), dictionary_of(4));
  write_file("dict.txt", dictionary_of(5));
  expect_error<compat::IoError>(
      [] {
        convert({"../in", "other"});
      },
      "dict.txt: is another dictionary than that of the data");
  EXPECT_FALSE(fs::exists("other.bin")) << "told before the work";
}

TEST(DataBin, TextHasNoDictionaryBesideIt) {
  const TempDir folder;
  for (const std::string name :
       {"dict.txt", "fortunes/valid_fortunes.bin", "fortunes/valid_fortunes.idx"}) {
    fs::create_directories((folder / ("data/" + name)).parent_path());
    fs::copy_file(golden("data-bin") / name, folder / ("data/" + name));
  }
  const std::string model = golden("corpus/spm.model");
  const Inside inside(folder.path());
  convert({"data/fortunes/valid_fortunes", "out", "--to", "text", "--sentencepiece-model", model});
  convert({"data", "folder", "--to", "text", "--sentencepiece-model", model});
  EXPECT_TRUE(fs::exists("out.txt"));
  EXPECT_TRUE(fs::exists("folder/fortunes/valid_fortunes.txt"));
  for (const char* const path : {"dict.txt", "folder/dict.txt"})
    EXPECT_FALSE(fs::exists(path)) << path;
}

TEST(DataBin, TextRefusesDocumentsWithLineEnds) {
  const TempDir folder;
  // "Hi", GPT-2's line end (198), "Hi".
  write_file(folder / "dict.txt", "17250 1\n198 1\n201 1\n");
  write_data_bin(folder / "in", {{4, 2}, {4, 5, 4, 2}});
  const std::vector<std::string> tokenizer{"--gpt2-encoder-json", golden("gpt2/encoder.json"),
                                           "--gpt2-vocab-bpe", golden("gpt2/vocab.bpe")};
  const auto to = [&](const std::string& form, const std::string& out) {
    std::vector<std::string> args{folder / "in", folder / out, "--to", form};
    args.insert(args.end(), tokenizer.begin(), tokenizer.end());
    return convert(args);
  };
  expect_error<compat::UnsupportedError>(
      [&] { to("text", "out"); },
      "sequence 1 contains a line end, but text has one document per line (--to jsonl");
  EXPECT_FALSE(fs::exists(folder / "out.txt"));
  to("jsonl", "lines");
  EXPECT_NE(read_file(folder / "lines.jsonl").find("\\n"), std::string::npos);
  write_data_bin(folder / "in", {{4, 6, 4, 2}});  // a carriage return ends lines as well
  expect_error<compat::UnsupportedError>([&] { to("text", "out"); },
                                         "sequence 0 contains a line end");
}

TEST(DataBin, TakesTheFolderOfTwoOfOneName) {
  const TempDir folder;
  write_data_bin(folder / "law" / "train", {{4, 2}});
  write_file(folder / "law.jsonl", "{\"ids\": [9, 2]}\n");
  convert({folder / "law", folder / "of_folder"});
  EXPECT_EQ(read_all(folder / "of_folder" / "train"), (Sequences{{4, 2}}));
  convert({folder / "law.jsonl", folder / "of_file"});
  EXPECT_EQ(read_all(folder / "of_file"), (Sequences{{9, 2}}));
}

TEST(DataBin, ReportsWhatItWrote) {
  const TempDir folder;
  write_data_bin(folder / "in", {{4, 2}, {4}});
  EXPECT_EQ(convert({folder / "in", folder / "out"}), "out: 2 sequences, 3 tokens, 56 bytes\n");
}

}  // namespace
