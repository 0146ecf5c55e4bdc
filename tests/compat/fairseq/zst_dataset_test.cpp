#include "compat/fairseq/zst_dataset.h"

#include <gtest/gtest.h>
#include <libdeflate.h>

#include <random>
#include <thread>

#include "compat/base/error.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using btm_test::le;
using btm_test::operator""_bytes;
using compat::IndexedDataset;
using Sequences = std::vector<std::vector<std::int64_t>>;

void write(const std::filesystem::path& prefix, const Sequences& sequences,
           std::string_view dtype = "uint16", const compat::ZstOptions& options = {}) {
  const auto builder = compat::create_zst_builder(prefix, 0, dtype, options);
  for (const auto& ids : sequences) builder->add(ids);
  builder->finalize();
}

Sequences read_all(const IndexedDataset& dataset) {
  Sequences sequences;
  for (std::int64_t i = 0; i < dataset.size(); ++i) sequences.push_back(dataset.sequence(i));
  return sequences;
}

Sequences random_sequences(std::mt19937& random, std::int64_t highest) {
  Sequences sequences(random() % 40);
  for (auto& ids : sequences) {
    ids.resize(random() % 3 == 0 ? 0 : random() % 50);
    // Small ids are more frequent, as in a dictionary.
    for (auto& id : ids)
      id = static_cast<std::int64_t>(random()) %
           (random() % 2 == 0 ? highest + 1 : std::min<std::int64_t>(highest + 1, 100));
  }
  return sequences;
}

TEST(ZstDataset, ReadsBackWhatWasWritten) {
  std::mt19937 random(7);
  for (const auto& [dtype, highest] :
       std::vector<std::pair<std::string, std::int64_t>>{{"uint8", 255},
                                                         {"uint16", 65535},
                                                         {"int32", 2147483647},
                                                         {"uint32", 4294967295},
                                                         {"int64", INT64_MAX}}) {
    for (const std::int64_t frame_tokens : {1, 7, 65536}) {
      const btm_test::TempDir folder;
      const Sequences sequences = random_sequences(
          random,
          highest == INT64_MAX ? 1'000'000'000 : std::min<std::int64_t>(highest, 2147483646));
      write(folder / "data", sequences, dtype, {3, frame_tokens});
      const auto dataset = IndexedDataset::open(folder / "data");
      EXPECT_EQ(read_all(*dataset), sequences) << dtype << ", frames of " << frame_tokens;
      EXPECT_EQ(dataset->impl(), compat::DatasetImpl::kZst);
      EXPECT_EQ(dataset->dtype(), dtype);
    }
  }
}

TEST(ZstDataset, KeepsNegativeAndLargestIds) {
  const btm_test::TempDir folder;
  const Sequences sequences{{-1, INT64_MIN, INT64_MAX, 0}, {}, {65535, 65536, 1 << 24}};
  write(folder / "data", sequences, "int64");
  EXPECT_EQ(read_all(*IndexedDataset::open(folder / "data")), sequences);
}

TEST(ZstDataset, ReadsAnyPartAcrossFrames) {
  const btm_test::TempDir folder;
  std::vector<std::int64_t> ids(1000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i * 37 % 3000);
  write(folder / "data", {{5}, ids}, "uint16", {1, 16});
  const auto dataset = IndexedDataset::open(folder / "data");
  for (const std::size_t from : {0, 1, 14, 15, 16, 500, 999}) {
    std::vector<std::int64_t> part(std::min<std::size_t>(40, ids.size() - from));
    dataset->read(1, static_cast<std::int64_t>(from), part);
    EXPECT_TRUE(
        std::equal(part.begin(), part.end(), ids.begin() + static_cast<std::ptrdiff_t>(from)))
        << from;
  }
}

TEST(ZstDataset, IsSmallerThanSixTenthsOfMmapOnText) {
  const auto mmap = IndexedDataset::open(btm_test::golden("data-bin/politics/valid_politics"));
  const btm_test::TempDir folder;
  const auto builder = compat::create_zst_builder(folder / "data", 2112);
  for (std::int64_t i = 0; i < mmap->size(); ++i) builder->add(mmap->sequence(i));
  builder->finalize();
  const auto size = [](const std::filesystem::path& prefix) {
    return std::filesystem::file_size(prefix.string() + ".bin") +
           std::filesystem::file_size(prefix.string() + ".idx");
  };
  EXPECT_LT(static_cast<double>(size(folder / "data")),
            0.6 * static_cast<double>(size(btm_test::golden("data-bin/politics/valid_politics"))));
}

TEST(ZstDataset, ManyEqualSizesAreStoredAsTheyAre) {
  const btm_test::TempDir folder;
  const Sequences sequences(5000);
  write(folder / "data", sequences);
  EXPECT_GE(std::filesystem::file_size(folder / "data.idx"), 5000U);
  EXPECT_EQ(read_all(*IndexedDataset::open(folder / "data")), sequences);
}

TEST(ZstDataset, ThreadsReadTheSameIds) {
  const btm_test::TempDir folder;
  std::vector<std::int64_t> ids(20000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i * i % 2000);
  write(folder / "data", {ids}, "uint16", {1, 64});
  const auto dataset = IndexedDataset::open(folder / "data");
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<std::int64_t> part(100);
      for (int round = 0; round < 500; ++round) {
        const std::size_t from = random() % (ids.size() - part.size());
        dataset->read(0, static_cast<std::int64_t>(from), part);
        wrong[t] +=
            std::equal(part.begin(), part.end(), ids.begin() + static_cast<std::ptrdiff_t>(from))
                ? 0
                : 1;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(ZstDataset, RefusesIdsThatDoNotFit) {
  const btm_test::TempDir folder;
  expect_error<compat::FormatError>(
      [&] {
        write(folder / "data", {{1, 65536}});
      },
      "token id 65536 of sequence 0 does not fit uint16");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  expect_error<compat::UnsupportedError>(
      [&] {
        write(folder / "data", {}, "uint16", {20, 1});
      },
      "level 20");
}

/// An index with the given parts and a correct CRC.
std::string index_of(const std::string& body) {
  const std::string bytes = std::string("BTMZSTD\0\0", 9) + body;
  return bytes + le(libdeflate_crc32(0, bytes.data(), bytes.size()));
}

std::unique_ptr<IndexedDataset> open(const std::string& index, const std::string& tokens) {
  const auto bytes = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  auto dataset = IndexedDataset::open(compat::MappedFile::of_memory("bad.idx", bytes(index)),
                                      compat::MappedFile::of_memory("bad.bin", bytes(tokens)));
  for (std::int64_t i = 0; i < dataset->size(); ++i) dataset->sequence(i);
  return dataset;
}

TEST(ZstDataset, RejectsBadFiles) {
  const btm_test::TempDir folder;
  write(folder / "data", {{1, 2, 3}, {4}}, "uint16", {3, 2});
  const std::string index = btm_test::read_file(folder / "data.idx"),
                    tokens = btm_test::read_file(folder / "data.bin");
  const std::string head = le<std::uint64_t>(1) + "08 f0"_bytes + le<std::uint32_t>(2);
  const auto counts = [](std::uint64_t sequences, std::uint64_t total) {
    return le(sequences) + le(total);
  };
  const auto sizes = [](const std::string& bytes) {
    return le<std::uint64_t>(bytes.size()) + le<std::uint64_t>(bytes.size()) + bytes;
  };
  const std::string ends = index.substr(index.size() - 20, 16);
  ASSERT_NO_THROW(open(index_of(head + counts(2, 4) + sizes("\3\1") + ends), tokens));
  const std::string damaged_crc =
      index.substr(0, index.size() - 1) + static_cast<char>(index.back() + 1);
  std::string damaged_tokens = tokens;
  damaged_tokens[tokens.size() - 6] = static_cast<char>(damaged_tokens[tokens.size() - 6] ^ 1);
  struct Row {
    std::string index, tokens, phrase;
  };
  const std::string huge = le<std::uint64_t>(UINT64_MAX);
  for (const Row& row : {
           Row{index.substr(0, 12), tokens, "needs 8 bytes for the version, 3 left"},
           Row{index_of(le<std::uint64_t>(2)), tokens, "version 2, expected 1"},
           Row{damaged_crc, tokens, "its CRC-32 is"},
           Row{index_of(le<std::uint64_t>(1) + "07"_bytes), tokens, "dtype code 7"},
           Row{index_of(le<std::uint64_t>(1) + "08 ff"_bytes), tokens, "255 short ids"},
           Row{index_of(le<std::uint64_t>(1) + "08 f0"_bytes + le<std::uint32_t>(0)), tokens,
               "frames of 0 tokens"},
           Row{index_of(le<std::uint64_t>(1) + "08 f0"_bytes + le<std::uint32_t>((1 << 20) + 1)),
               tokens, "frames of 1048577 tokens"},
           Row{index_of(head + counts(2, 4) + huge + huge), tokens, "for the sizes"},
           Row{index_of(head + counts(2, 4) + le<std::uint64_t>(64) + le<std::uint64_t>(1) + "x"),
               tokens, "sizes of 64 bytes stored in 1"},
           Row{index_of(head + counts(2, 4) + le<std::uint64_t>(2) + le<std::uint64_t>(1) + "x"),
               tokens, "is no zstd frame"},
           Row{index_of(head + counts(3, 4) + sizes("\3\1") + ends), tokens,
               "3 sequences, but sizes of 2 bytes"},
           Row{index_of(head + counts(2, 4) + sizes("\3\xff") + ends), tokens,
               "sequence 1 has no size"},
           Row{index_of(head + counts(1, 4) + sizes("\3\1") + ends), tokens,
               "1 bytes follow the last size"},
           Row{index_of(head + counts(2, 5) + sizes("\3\1") + ends), tokens,
               "sum up to 4 tokens, expected 5"},
           Row{index_of(head + counts(2, 4) + sizes("\3\1") + ends.substr(0, 8)), tokens,
               "2 frames do not fit"},
           Row{index_of(head + counts(2, 4) + sizes("\3\1") + ends.substr(0, 8) +
                        ends.substr(0, 8)),
               tokens, "frame 1 ends at byte"},
           Row{index_of(head + counts(2, 4) + sizes("\3\1") + ends), tokens + "x",
               "but bad.bin has"},
           Row{index_of(head + counts(2, 4) + sizes("\3\1") + ends + "x"), tokens,
               "1 bytes follow the CRC"},
           Row{index_of(head + counts(2, 3) + sizes("\2\1") + ends), tokens,
               "does not hold exactly 1 ids"},
           Row{index_of(head + counts(2, 5) + sizes("\3\2") + ends + ends.substr(8)), tokens,
               "frame 2 ends at byte"},
           Row{index, damaged_tokens, "bad.bin[frame 1]: damaged zstd frame"},
           Row{index, std::string(tokens.size(), '\0'), "bad.bin[frame 0]: is no zstd frame"},
       })
    expect_error<compat::FormatError>([&] { open(row.index, row.tokens); }, row.phrase);
}

}  // namespace
