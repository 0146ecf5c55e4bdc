#include "compat/torch/zip_archive.h"

#include <gtest/gtest.h>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"
#include "tests/support/zip_bytes.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::make_zip;
using btm_test::ZipEnd;
using btm_test::ZipMember;

ZipArchive opened(const std::string& bytes) {
  auto owner = std::make_shared<const std::string>(bytes);
  const auto span = as_byte_span(*owner);
  return ZipArchive(MappedFile::of_memory("z", span, std::move(owner)));
}

std::vector<ZipMember> two() { return {ZipMember("a/one", "first"), ZipMember("a/two", "second")}; }

TEST(ZipArchive, FindsStoredEntries) {
  const auto zip = opened(make_zip(two()));
  ASSERT_EQ(zip.entries().size(), 2U);
  EXPECT_EQ(as_chars(zip.bytes(*zip.find("a/two"))), "second");
  EXPECT_EQ(zip.find("two"), nullptr);
  EXPECT_TRUE(ZipArchive::has_magic(as_byte_span(make_zip(two()))));
  EXPECT_FALSE(ZipArchive::has_magic(as_byte_span("PK")));
}

TEST(ZipArchive, FindsTheEndRecordBeforeAComment) {
  std::string bytes = make_zip(two());
  bytes[bytes.size() - 2] = 5;
  EXPECT_EQ(opened(bytes + "hello").entries().size(), 2U);
}

TEST(ZipArchive, ChecksTheCrcWhenDataIsRead) {
  auto members = two();
  members[1].crc ^= 1;
  const auto zip = opened(make_zip(members));  // opening does not read the data
  EXPECT_EQ(as_chars(zip.bytes(*zip.find("a/one"))), "first");
  expect_error<FormatError>([&] { zip.bytes(*zip.find("a/two")); }, "z[a/two]: damaged: CRC-32");
}

TEST(ZipArchive, RefusesDamage) {
  struct Row {
    std::function<void(std::vector<ZipMember>&, ZipEnd&)> damage;
    const char* phrase;
  };
  const std::vector<Row> rows{
      {[](auto& m, auto&) { m[0].method = 8; },
       "the entry 'a/one' is compressed (method 8), expected stored data"},  // as in a zip bomb
      {[](auto& m, auto&) { m[0].flags = 1; }, "the entry 'a/one' is encrypted"},
      {[](auto& m, auto&) { m[0].size = m[0].local_size = 4; },
       "the entry 'a/one' has two sizes, 5 and 4"},
      {[](auto& m, auto&) { m[0].local_size = 4; },
       "sizes or CRC in the local header of 'a/one' differ"},
      {[](auto& m, auto&) { m[1].packed = m[1].size = m[1].local_size = 1'000'000; },
       "needs 1000000 bytes for the data of 'a/two'"},
      {[](auto& m, auto&) { m[1].packed = m[1].size = m[1].local_size = 0xFFFFFFFE; },
       "needs 4294967294 bytes for the data of 'a/two'"},
      {[](auto& m, auto&) { m[1].packed = m[1].size = m[1].local_size = 20; },
       "overlap each other or the directory"},
      {[](auto& m, auto&) { m[0].packed = m[0].size = m[0].local_size = 20; },
       "entries of the zip archive overlap"},
      {[](auto& m, auto&) { m[1].name = "b/two"; },
       "the local header ('a/two') and the directory ('b/two') disagree"},
      {[](auto& m, auto&) { m[1] = m[0]; }, "the zip archive holds 'a/one' twice"},
      {[](auto& m, auto&) { m[1].offset = 1; }, "no local header of the entry 'a/two' here"},
      {[](auto& m, auto&) { m[1].offset = 0xFFFFFFF0; },
       "the entry 'a/two' at 4294967280 lies beyond the end"},
      {[](auto& m, auto&) { m[1].offset = 0xFFFFFFFF; },
       "lies beyond the end"},  // needs a zip64 field that is missing
      {[](auto&, auto& e) { e.count = 3; }, "3 entries do not fit a directory of 102 bytes"},
      {[](auto&, auto& e) { e.count = 1; }, "51 bytes follow the last directory entry"},
      {[](auto&, auto& e) { e.count = 0xFFFF; }, "no zip64 locator before the end record"},
      {[](auto&, auto& e) { e.offset = 0xFFFFFFF0; }, "reaches beyond the end record"},
      {[](auto&, auto& e) { e.size = 0x10000; }, "reaches beyond the end record"},
      {[](auto&, auto& e) { e.offset = 0; }, "no directory entry here"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.phrase);
    auto members = two();
    ZipEnd end;
    row.damage(members, end);
    expect_error<FormatError>([&] { opened(make_zip(members, end)); }, row.phrase);
  }
}

TEST(ZipArchive, RefusesTruncationAtEveryByte) {
  const std::string bytes = make_zip(two());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    expect_error<FormatError>([&] { opened(bytes.substr(0, size)); },
                              "no end record of a zip archive");
}

TEST(ZipArchive, RefusesZip64RecordsThatLie) {
  using btm_test::le;
  const auto with_locator = [](const std::string& end64, std::uint64_t at) {
    return "PK\x03\x04" + end64 + "PK\x06\x07" + le<std::uint32_t>(0) + le(at) +
           le<std::uint32_t>(1) + "PK\x05\x06" + std::string(4, '\0') +
           std::string(16, '\xff').substr(0, 12) + std::string(2, '\0');
  };
  const auto end64 = [](std::uint64_t count, std::uint64_t size, std::uint64_t offset) {
    return "PK\x06\x06" + le<std::uint64_t>(44) + std::string(12, '\0') + le(count) + le(count) +
           le(size) + le(offset);
  };
  expect_error<FormatError>([&] { opened(with_locator(end64(1, 46, 0), UINT64_MAX)); },
                            "the zip64 end record at 18446744073709551615 lies beyond the end");
  expect_error<FormatError>([&] { opened(with_locator(end64(1, 46, 0), 0)); },
                            "no zip64 end record where the locator says");
  expect_error<FormatError>([&] { opened(with_locator(end64(1, 46, UINT64_MAX), 4)); },
                            "reaches beyond the end record");
  expect_error<FormatError>([&] { opened(with_locator(end64(1, UINT64_MAX, 0), 4)); },
                            "reaches beyond the end record");
  expect_error<FormatError>([&] { opened(with_locator(end64(UINT64_MAX, 46, 0), 4)); },
                            "18446744073709551615 entries do not fit");
}

TEST(ZipWriter, AlignsDataAndIsReadBack) {
  const btm_test::TempDir dir;
  AtomicFile file(dir / "z");
  ZipWriter writer(file, "folder");
  writer.add("empty", {});
  writer.add("data/0", as_byte_span(std::string(100, 'x')));
  writer.add("version", as_byte_span("3\n"));
  writer.finish();
  file.commit();
  const ZipArchive zip(MappedFile::open(dir / "z"));
  ASSERT_EQ(zip.entries().size(), 3U);
  for (const ZipEntry& entry : zip.entries()) EXPECT_EQ(entry.offset % 64, 0U) << entry.name;
  EXPECT_EQ(as_chars(zip.bytes(*zip.find("folder/data/0"))), std::string(100, 'x'));
}

}  // namespace
}  // namespace compat
