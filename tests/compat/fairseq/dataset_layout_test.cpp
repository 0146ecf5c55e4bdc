// The parts of data-bins' layouts that readers and writers share.
#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset_layout.h"
#include "compat/fairseq/zst_dataset_layout.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::operator""_bytes;
using Ids = std::vector<std::int64_t>;

TEST(TokenType, HasFairseqsCodes) {
  // fairseq 0.12.2, data/indexed_dataset.py: _code_to_dtype
  const std::vector<std::pair<std::uint64_t, std::string_view>> rows{
      {1, "uint8"},   {2, "int8"},    {3, "int16"},  {4, "int32"},  {5, "int64"},
      {6, "float64"}, {7, "float64"}, {8, "uint16"}, {9, "uint32"}, {10, "uint64"}};
  for (const auto& [code, name] : rows) {
    const TokenType* const type = token_type_of_code(code);
    ASSERT_NE(type, nullptr) << code;
    EXPECT_EQ(type->name, name);
    EXPECT_EQ(type->code, code);
  }
  for (const std::uint64_t code :
       {std::uint64_t{0}, std::uint64_t{11}, std::uint64_t{257}, UINT64_MAX})
    EXPECT_EQ(token_type_of_code(code), nullptr) << code;
}

TEST(TokenType, IsChosenAsFairseqChooses) {
  EXPECT_EQ(token_type_for(DatasetImpl::kMmap, 65499, "").name, "uint16");
  EXPECT_EQ(token_type_for(DatasetImpl::kMmap, 65500, "").name, "uint32");
  EXPECT_EQ(token_type_for(DatasetImpl::kLegacy, 10, "").name, "int32");
  EXPECT_EQ(token_type_for(DatasetImpl::kMmap, 10, "int64").name, "int64");
  for (const char* const name : {"float64", "float32", "int", "UINT16", "\x1b", " int8"}) {
    SCOPED_TRACE(name);
    expect_error<UnsupportedError>([&] { token_type_for(DatasetImpl::kMmap, 10, name); },
                                   "a data-bin of '" + printable(name) + "' (supported: uint8");
  }
}

TEST(CheckIdsFit, RefusesWhatAnIndexCannotHold) {
  struct Row {
    const char* type;
    std::int64_t shift, fits, not_low, not_high;
  };
  const std::vector<Row> rows{
      {"uint8", 0, 255, -1, 256},
      {"int8", 0, -128, -129, 128},
      {"uint16", 0, 65535, -1, 65536},
      {"int32", 1, INT32_MAX - 1, std::int64_t{INT32_MIN} - 2, INT32_MAX},
      {"uint32", 0, UINT32_MAX, -1, std::int64_t{UINT32_MAX} + 1},
      {"int64", 1, INT64_MAX - 1, INT64_MAX, INT64_MAX},  // one more overflows
      {"uint64", 0, INT64_MAX, -1, -2},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.type);
    const TokenType& type = token_type_for(DatasetImpl::kMmap, 10, row.type);
    EXPECT_NO_THROW(check_ids_fit(type, row.shift, Ids{row.fits}, 3, "f"));
    for (const std::int64_t bad : {row.not_low, row.not_high})
      expect_error<FormatError>(
          [&] {
            check_ids_fit(type, row.shift, Ids{1, bad}, 3, "f");
          },
          "f: token id " + std::to_string(bad) + " of sequence 3 does not fit " + row.type);
  }
}

std::string leb128(std::uint64_t value) {
  std::string out;
  append_leb128(out, value);
  return out;
}

/// What take_leb128 makes of `bytes`: the value, and how many bytes are left; {} when it refuses.
std::optional<std::pair<std::uint64_t, std::size_t>> taken(const std::string& bytes) {
  const auto* at = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const auto* const end = at + bytes.size();
  std::uint64_t value = 0;
  if (!take_leb128(at, end, value)) return {};
  return std::pair(value, static_cast<std::size_t>(end - at));
}

TEST(Leb128, WritesSevenBitsAByte) {
  EXPECT_EQ(leb128(0), "00"_bytes);
  EXPECT_EQ(leb128(127), "7f"_bytes);
  EXPECT_EQ(leb128(128), "80 01"_bytes);
  EXPECT_EQ(leb128(624485), "e5 8e 26"_bytes);  // the example of DWARF's specification
  EXPECT_EQ(leb128(UINT64_MAX), "ff ff ff ff ff ff ff ff ff 01"_bytes);
}

TEST(Leb128, ReadsWhatItWrites) {
  for (unsigned bit = 0; bit < 64; ++bit)
    for (const std::uint64_t near : {0ULL, 1ULL}) {
      const std::uint64_t value = (std::uint64_t{1} << bit) - near;
      EXPECT_EQ(taken(leb128(value) + "x"), std::pair(value, std::size_t{1})) << value;
    }
}

TEST(Leb128, RefusesWhatEndsEarlyOrIsTooLong) {
  for (const std::string& bytes : {std::string(), "80"_bytes, "ff ff ff"_bytes,
                                   "ff ff ff ff ff ff ff ff ff 02"_bytes,     // bit 64
                                   "ff ff ff ff ff ff ff ff ff 81 00"_bytes,  // an eleventh byte
                                   "80 80 80 80 80 80 80 80 80 80 00"_bytes})
    EXPECT_EQ(taken(bytes), std::nullopt) << bytes.size();
}

TEST(AppendCoded, TakesOneByteTwoOrAnEscape) {
  struct Row {
    std::uint8_t short_ids;
    std::int64_t id;
    std::string bytes;
  };
  const std::vector<Row> rows{
      {254, 0, "00"_bytes},
      {254, 253, "fd"_bytes},
      {254, 254, "fe 00"_bytes},
      {254, 509, "fe ff"_bytes},
      {254, 510, "ff fc 07"_bytes},  // 510 as a zigzag number: 1020
      {0, 0, "00 00"_bytes},
      {0, 65279, "fe ff"_bytes},
      {0, 65280, "ff 80 fc 07"_bytes},
      {254, -1, "ff 01"_bytes},
      {100, INT64_MIN, "ff ff ff ff ff ff ff ff ff ff 01"_bytes},
      {100, INT64_MAX, "ff fe ff ff ff ff ff ff ff ff 01"_bytes},
  };
  for (const Row& row : rows) {
    std::string out;
    append_coded(out, Ids{row.id}, row.short_ids);
    EXPECT_EQ(out, row.bytes) << row.id;
    EXPECT_LE(out.size(), kMaxCodeBytes);
  }
}

}  // namespace
}  // namespace compat
