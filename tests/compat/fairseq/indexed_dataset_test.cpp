#include "compat/fairseq/indexed_dataset.h"

#include <gtest/gtest.h>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::le;
using Sequences = std::vector<std::vector<std::int64_t>>;

Sequences sequences_of(const IndexedDataset& dataset) {
  Sequences all;
  for (std::int64_t i = 0; i < dataset.size(); ++i) all.push_back(dataset.sequence(i));
  return all;
}

std::shared_ptr<const MappedFile> in_memory(const std::string& name, const std::string& bytes) {
  auto owner = std::make_shared<const std::string>(bytes);
  const auto span = as_byte_span(*owner);
  return MappedFile::of_memory(name, span, std::move(owner));
}

std::unique_ptr<IndexedDataset> opened(const std::string& index, const std::string& tokens) {
  return IndexedDataset::open(in_memory("d.idx", index), in_memory("d.bin", tokens));
}

/// The parts of an index, which the rows of the tables below damage.
struct MmapIndex {
  std::string magic{"MMIDIDX\0\0", 9};
  std::uint64_t version = 1;
  std::uint8_t code = 8;
  std::uint64_t count = 2;
  std::vector<std::int32_t> sizes{2, 1};
  std::vector<std::int64_t> pointers{0, 4};
  std::string tail;

  std::string bytes() const {
    std::string out = magic + le(version) + le(code) + le(count);
    for (const auto size : sizes) out += le(size);
    for (const auto pointer : pointers) out += le(pointer);
    return out + tail;
  }
};

struct LegacyIndex {
  std::string magic{"TNTIDX\0\0", 8};
  std::uint64_t version = 1, code = 4, element = 4, count = 2, dimensions = 2;
  std::vector<std::int64_t> dim_offsets{0, 1, 2}, offsets{0, 2, 3}, sizes{2, 1};
  std::string tail;

  std::string bytes() const {
    std::string out = magic + le(version) + le(code) + le(element) + le(count) + le(dimensions);
    for (const auto* table : {&dim_offsets, &offsets, &sizes})
      for (const auto value : *table) out += le(value);
    return out + tail;
  }
};

const std::string kMmapTokens = le<std::uint16_t>(5) + le<std::uint16_t>(2) + le<std::uint16_t>(7);
const std::string kLegacyTokens = le<std::int32_t>(6) + le<std::int32_t>(3) + le<std::int32_t>(8);

TEST(IndexedDataset, ReadsMmap) {
  const auto dataset = opened(MmapIndex{}.bytes(), kMmapTokens);
  EXPECT_EQ(dataset->impl(), DatasetImpl::kMmap);
  EXPECT_EQ(dataset->dtype(), "uint16");
  EXPECT_EQ(dataset->total_tokens(), 3);
  EXPECT_EQ(sequences_of(*dataset), (Sequences{{5, 2}, {7}}));
}

TEST(IndexedDataset, ReadsLegacyIdsOneLower) {
  const auto dataset = opened(LegacyIndex{}.bytes(), kLegacyTokens);
  EXPECT_EQ(dataset->impl(), DatasetImpl::kLegacy);
  EXPECT_EQ(sequences_of(*dataset), (Sequences{{5, 2}, {7}}));
}

TEST(IndexedDataset, ReadsPartOfASequence) {
  const auto dataset = opened(MmapIndex{}.bytes(), kMmapTokens);
  std::int64_t token = 0;
  dataset->read(0, 1, {&token, 1});
  EXPECT_EQ(token, 2);
}

TEST(IndexedDataset, ReadsEveryDtype) {
  const std::vector<std::tuple<int, std::string, std::string, std::int64_t>> rows{
      {1, "uint8", le<std::uint8_t>(250), 250},
      {2, "int8", le<std::int8_t>(-3), -3},
      {3, "int16", le<std::int16_t>(-300), -300},
      {4, "int32", le<std::int32_t>(70000), 70000},
      {5, "int64", le<std::int64_t>(-5), -5},
      {8, "uint16", le<std::uint16_t>(65000), 65000},
      {9, "uint32", le<std::uint32_t>(3'000'000'000U), 3'000'000'000},
      {10, "uint64", le<std::uint64_t>(1), 1},
  };
  for (const auto& [code, name, bytes, id] : rows) {
    MmapIndex index;
    index.code = static_cast<std::uint8_t>(code);
    index.count = 1;
    index.sizes = {1};
    index.pointers = {0};
    const auto dataset = opened(index.bytes(), bytes);
    EXPECT_EQ(dataset->dtype(), name);
    EXPECT_EQ(dataset->sequence(0), (std::vector<std::int64_t>{id}));
  }
}

TEST(IndexedDataset, ReadsNoSequences) {
  MmapIndex index;
  index.count = 0;
  index.sizes = {};
  index.pointers = {};
  EXPECT_EQ(opened(index.bytes(), "")->size(), 0);
}

TEST(IndexedDataset, ReadsEveryImplementationOfTheGoldenSplitAlike) {
  const Dictionary dictionary = Dictionary::load(golden("data-bin/fortunes/dict.txt"));
  const auto expected =
      sequences_of(*IndexedDataset::open(golden("data-bin/fortunes/valid_fortunes")));
  ASSERT_EQ(expected.size(), 137U);
  EXPECT_EQ(sequences_of(*IndexedDataset::open(golden("data-bin-impl/cached/valid"))), expected);
  EXPECT_EQ(sequences_of(*IndexedDataset::open(golden("data-bin-impl/lazy/valid"))), expected);
  EXPECT_EQ(sequences_of(*IndexedDataset::open(golden("data-bin-impl/raw/valid"), &dictionary)),
            expected);
  check_token_ids(*IndexedDataset::open(golden("data-bin-impl/lazy/valid")), dictionary);
}

TEST(IndexedDataset, ReadsTheGoldenHuffmanSet) {
  const auto dataset = IndexedDataset::open(golden("data-bin-impl/huffman_other_set/test"));
  EXPECT_EQ(dataset->impl(), DatasetImpl::kHuffman);
  std::int64_t total = 0, eos_at_end = 0;
  for (const auto& ids : sequences_of(*dataset)) {
    total += static_cast<std::int64_t>(ids.size());
    eos_at_end += ids.empty() ? 0 : ids.back() == sequences_of(*dataset).front().back();
  }
  EXPECT_EQ(total, dataset->total_tokens());
  EXPECT_EQ(eos_at_end, dataset->size());  // each ends with the same symbol, </s>
}

TEST(IndexedDataset, AcceptsThePrefixWithASuffix) {
  for (const char* suffix : {"", ".idx", ".bin"})
    EXPECT_EQ(
        IndexedDataset::open(golden("data-bin/fortunes/valid_fortunes").string() + suffix)->size(),
        137);
  EXPECT_TRUE(IndexedDataset::exists(golden("data-bin/fortunes/valid_fortunes")));
  EXPECT_FALSE(IndexedDataset::exists(golden("data-bin/fortunes/nothing")));
}

template <class Index>
struct BadRow {
  std::function<void(Index&)> damage;
  const char* phrase;
};

TEST(MmapDataset, RefusesADamagedIndex) {
  const std::vector<BadRow<MmapIndex>> rows{
      {[](auto& i) { i.magic[0] = 'X'; }, "d.idx+0x0: starts with 'XMIDIDX"},
      {[](auto& i) { i.version = 2; }, "version 2, expected 1"},
      {[](auto& i) { i.code = 0; }, "unknown dtype code 0, expected 1 to 10"},
      {[](auto& i) { i.code = 11; }, "unknown dtype code 11"},
      {[](auto& i) { i.code = 6; }, "dtype code 6 is floating point"},
      {[](auto& i) { i.count = 3; }, "3 entries of pointers need more bytes than the 12 left"},
      {[](auto& i) { i.count = UINT64_MAX; },
       "18446744073709551615 entries of sizes need more bytes than the 24 left"},
      {[](auto& i) { i.count = std::uint64_t{1} << 62; }, "entries of sizes need more bytes"},
      {[](auto& i) { i.count = 1; }, "12 bytes follow the pointers"},
      {[](auto& i) { i.tail = "x"; }, "1 bytes follow the pointers"},
      {[](auto& i) { i.sizes[1] = -1; }, "sequence 1: negative size -1"},
      {[](auto& i) { i.sizes[1] = 2; }, "sequence 1: 4 bytes at 4 lie beyond the 6 bytes of d.bin"},
      {[](auto& i) { i.sizes[0] = INT32_MAX; }, "sequence 0: 4294967294 bytes at 0 lie beyond"},
      {[](auto& i) { i.pointers[1] = 6; }, "sequence 1: 2 bytes at 6 lie beyond"},
      {[](auto& i) { i.pointers[1] = -2; }, "sequence 1: 2 bytes at -2 lie beyond"},
      {[](auto& i) { i.pointers[1] = INT64_MAX; }, "lie beyond the 6 bytes"},
      {[](auto& i) { i.pointers[1] = 1; }, "pointer 1 is not a multiple of 2"},
      {[](auto& i) { i.sizes[1] = 3, i.pointers[1] = 0; },
       "add up to 5 tokens, more than the 3 of d.bin"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.phrase);
    MmapIndex index;
    row.damage(index);
    expect_error<FormatError>([&] { opened(index.bytes(), kMmapTokens); }, row.phrase);
  }
}

TEST(LegacyDataset, RefusesADamagedIndex) {
  const std::vector<BadRow<LegacyIndex>> rows{
      {[](auto& i) { i.version = 0; }, "version 0, expected 1"},
      {[](auto& i) { i.code = 256; }, "unknown dtype code 256"},
      {[](auto& i) { i.code = 7; }, "dtype code 7 is floating point"},
      {[](auto& i) { i.element = 8; }, "element size 8, expected 4 for int32"},
      {[](auto& i) { i.dimensions = 3; }, "2 sequences with 3 sizes, expected one each"},
      {[](auto& i) { i.count = i.dimensions = UINT64_MAX; },
       "18446744073709551615 sequences do not fit the file"},
      {[](auto& i) { i.count = i.dimensions = 3; }, "entries of sizes need more bytes"},
      {[](auto& i) { i.tail = "xy"; }, "2 bytes follow the sizes"},
      {[](auto& i) { i.dim_offsets[0] = 1; }, "sequence 0: does not start at 0"},
      {[](auto& i) { i.offsets[0] = 1; }, "sequence 0: does not start at 0"},
      {[](auto& i) { i.dim_offsets[2] = 3; }, "sequence 1: is not one-dimensional"},
      {[](auto& i) { i.sizes[0] = 1; }, "sequence 0: size 1, but its data reaches from 0 to 2"},
      {[](auto& i) { i.sizes[1] = -1; }, "sequence 1: size -1, expected 0 to 2147483647"},
      {[](auto& i) { i.offsets[1] = -1; }, "sequence 0: size 2, but its data reaches from 0 to -1"},
      {[](auto& i) { i.offsets[1] = INT64_MIN; }, "its data reaches from 0 to"},
      {[](auto& i) { i.sizes[1] = 2, i.offsets[2] = 4; },
       "sequence 1: ends at token 4, beyond the 3 tokens of d.bin"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.phrase);
    LegacyIndex index;
    row.damage(index);
    expect_error<FormatError>([&] { opened(index.bytes(), kLegacyTokens); }, row.phrase);
  }
}

TEST(IndexedDataset, RefusesTruncationAtEveryByte) {
  for (const auto& [index, tokens] : {std::pair{MmapIndex{}.bytes(), kMmapTokens},
                                      std::pair{LegacyIndex{}.bytes(), kLegacyTokens}}) {
    for (std::size_t size = 0; size < index.size(); ++size)
      expect_error<FormatError>(
          [&, &index = index, &tokens = tokens] { opened(index.substr(0, size), tokens); },
          size == 0 ? "d.idx: is empty" : "d.idx+0x");
    for (std::size_t size = 0; size < tokens.size(); ++size)
      expect_error<FormatError>(
          [&, &index = index, &tokens = tokens] { opened(index, tokens.substr(0, size)); },
          "beyond");
  }
}

TEST(IndexedDataset, RefusesWhatIsNotThere) {
  const btm_test::TempDir dir;
  expect_error<IoError>([&] { IndexedDataset::open(dir / "valid"); },
                        "valid: no data set has this name: neither valid.idx nor raw text");
  btm_test::write_file(dir / "valid.idx", MmapIndex{}.bytes());
  expect_error<IoError>([&] { IndexedDataset::open(dir / "valid"); },
                        "valid.bin: cannot open: No such file");
  std::filesystem::create_directory(dir / "valid.bin");
  expect_error<IoError>([&] { IndexedDataset::open(dir / "valid"); }, "valid.bin: is a directory");
  btm_test::write_file(dir / "dict.idx", "a 1\n");
  btm_test::write_file(dir / "dict.bin", "");
  expect_error<FormatError>([&] { IndexedDataset::open(dir / "dict"); }, "starts with 'a 1\\x0a'");
  btm_test::write_file(dir / "raw", "text\n");
  expect_error<UnsupportedError>([&] { IndexedDataset::open(dir / "raw"); },
                                 "raw text needs a dictionary");
  const Dictionary dictionary;
  btm_test::write_file(dir / "latin1", "\xe9\n");
  expect_error<FormatError>([&] { IndexedDataset::open(dir / "latin1", &dictionary); },
                            "latin1+0x0: not UTF-8");
}

TEST(CheckTokenIds, NamesTheFirstIdOutsideTheDictionary) {
  const auto dataset = opened(MmapIndex{}.bytes(), kMmapTokens);
  Dictionary dictionary;
  for (const char* word : {"a", "b", "c"}) dictionary.add_symbol(word);
  expect_error<FormatError>(
      [&] { check_token_ids(*dataset, dictionary); },
      "d.bin: sequence 1 holds the token id 7 at 0, the dictionary has 7 symbols");
  dictionary.add_symbol("d");
  check_token_ids(*dataset, dictionary);
  const auto negative = opened(LegacyIndex{}.bytes(),
                               le<std::int32_t>(6) + le<std::int32_t>(0) + le<std::int32_t>(8));
  expect_error<FormatError>([&] { check_token_ids(*negative, dictionary); },
                            "sequence 0 holds the token id -1 at 1");
}

}  // namespace
}  // namespace compat
