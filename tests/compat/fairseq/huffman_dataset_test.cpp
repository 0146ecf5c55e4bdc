#include "compat/fairseq/huffman_dataset.h"

#include <gtest/gtest.h>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::le;
using btm_test::operator""_bytes;

std::shared_ptr<const MappedFile> in_memory(const std::string& name, const std::string& bytes) {
  auto owner = std::make_shared<const std::string>(bytes);
  const auto span = as_byte_span(*owner);
  return MappedFile::of_memory(name, span, std::move(owner));
}

/// Two sequences over a small vocabulary: the code of a (8) is 0; those of the four special symbols
/// (1 each) are 100 to 111.
struct Parts {
  std::string vocabulary = "a 8\n";
  std::string magic{"HUFFIDX\0\0", 9};
  std::uint64_t version = 1, data_size = 2, count = 2;
  std::vector<std::int32_t> sizes{3, 1};
  std::vector<std::uint64_t> ends{1, 2};
  std::string tail;
  std::string bits = "10 90"_bytes;  // aaa, end mark; one special symbol, end mark

  std::unique_ptr<IndexedDataset> open() const {
    std::string index = magic + le(version) + le(data_size) + le(count);
    for (const auto size : sizes) index += le(size);
    for (const auto end : ends) index += le(end);
    return open_huffman_dataset(in_memory("h.idx", index + tail), in_memory("h.bin", bits),
                                *in_memory("h.vocab", vocabulary));
  }
};

TEST(HuffmanDataset, DecodesBitsFromTheHighest) {
  const auto dataset = Parts{}.open();
  EXPECT_EQ(dataset->impl(), DatasetImpl::kHuffman);
  EXPECT_EQ(dataset->total_tokens(), 4);
  EXPECT_EQ(dataset->sequence(0), (std::vector<std::int64_t>{0, 0, 0}));
  EXPECT_GT(dataset->sequence(1).at(0), 0);
  std::int64_t token = 9;
  dataset->read(0, 2, {&token, 1});
  EXPECT_EQ(token, 0);
}

TEST(HuffmanDataset, RefusesADamagedIndex) {
  struct Row {
    std::function<void(Parts&)> damage;
    const char* phrase;
  };
  const std::vector<Row> rows{
      {[](auto& p) { p.version = 2; }, "h.idx+0x11: version 2, expected 1"},
      {[](auto& p) { p.data_size = 3; }, "data of 3 bytes, but h.bin has 2"},
      {[](auto& p) { p.count = UINT64_MAX; }, "18446744073709551615 sequences do not fit the file"},
      {[](auto& p) { p.count = 3; }, "3 sequences do not fit the file"},
      {[](auto& p) { p.tail = "x"; }, "1 bytes follow the pointers"},
      {[](auto& p) { p.sizes[0] = -1; }, "sequence 0: -1 tokens do not fit its 1 bytes"},
      {[](auto& p) { p.sizes[0] = INT32_MAX; },
       "sequence 0: 2147483647 tokens do not fit its 1 bytes"},
      {[](auto& p) { p.ends[1] = 0; }, "sequence 1: ends at byte 0, expected 1 to 2"},
      {[](auto& p) { p.ends[1] = UINT64_MAX; }, "sequence 1: ends at byte 18446744073709551615"},
      {[](auto& p) { p.vocabulary = ""; }, "h.vocab: is empty, expected a huffman vocabulary"},
      {[](auto& p) { p.vocabulary = "a\n"; }, "h.vocab[line 1]: 'a', expected '<token> <count>'"},
      {[](auto& p) { p.vocabulary = "a -1\n"; }, "h.vocab[line 1]"},
      {[](auto& p) { p.vocabulary = "a 1\nb 99999999999999999999\n"; }, "h.vocab[line 2]"},
      {[](auto& p) { p.vocabulary = "a 4294967296\na 1\n"; }, "h.vocab[line 2]"},
      {[](auto& p) { p.vocabulary = "\xff 1\n"; }, "h.vocab+0x0: not UTF-8"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.phrase);
    Parts parts;
    row.damage(parts);
    expect_error<FormatError>([&] { parts.open(); }, row.phrase);
  }
}

TEST(HuffmanDataset, FindsDamagedBitsWhenASequenceIsRead) {
  for (const std::string& bits :
       {"00 90"_bytes, "20 90"_bytes, "08 90"_bytes,
        "c0 90"_bytes}) {  // no end mark; two tokens; four; an incomplete code
    Parts parts;
    parts.bits = bits;
    const auto dataset = parts.open();
    expect_error<FormatError>([&] { dataset->sequence(0); },
                              "h.bin+0x0: the bits of sequence 0 do not decode to its 3 tokens");
  }
}

TEST(HuffmanDataset, NeedsItsVocabulary) {
  const btm_test::TempDir dir;
  for (const char* suffix : {".idx", ".bin"})
    std::filesystem::copy(
        btm_test::golden(std::string("data-bin-impl/huffman_other_set/test") + suffix),
        dir / (std::string("test") + suffix));
  expect_error<IoError>([&] { IndexedDataset::open(dir / "test"); },
                        "test.vocab: cannot open: No such file");
}

}  // namespace
}  // namespace compat
