#include "compat/io/text_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <random>
#include <vector>

#include "compat/base/error.h"
#include "tests/support/compress.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::gzipped;
using btm_test::TempDir;
using btm_test::write_file;
using btm_test::zstd_compressed;

std::string read_all(const std::filesystem::path& path, std::size_t piece) {
  const auto file = TextFile::open(path);
  std::string text;
  std::vector<char> buffer(piece);
  while (true) {
    const std::size_t got = file->read(buffer);
    text.append(buffer.data(), got);
    if (got < piece) break;
  }
  EXPECT_EQ(file->disk_bytes_read(), std::filesystem::file_size(path));
  EXPECT_TRUE(TextFile::open(path)->rest() == text);
  return text;
}

/// Text of which half compresses well.
std::string sample_text() {
  std::mt19937 random(2);
  std::string text(300'000, 'a');
  for (int i = 0; i < 300'000; ++i) text += static_cast<char>(random());
  return text;
}

TEST(TextFile, ReadsPlainGzipAndZstdWhateverTheirNames) {
  const TempDir folder;
  const std::string text = sample_text();
  write_file(folder / "a.gz", text);
  write_file(folder / "b", gzipped(text));
  write_file(folder / "c.txt", zstd_compressed(text));
  for (const std::size_t piece :
       {std::size_t{1000}, std::size_t{4096}, std::size_t{131072}, std::size_t{1} << 20}) {
    for (const char* const name : {"a.gz", "b", "c.txt"})
      EXPECT_TRUE(read_all(folder / name, piece) == text) << name << " by " << piece;
  }
  EXPECT_FALSE(TextFile::open(folder / "a.gz")->is_compressed());
  EXPECT_TRUE(TextFile::open(folder / "b")->is_compressed());
}

TEST(TextFile, JoinsMembersAndFrames) {
  const TempDir folder;
  write_file(folder / "a", gzipped("one ") + gzipped("") + gzipped("two") + std::string(512, '\0'));
  write_file(folder / "b", zstd_compressed("one ") + zstd_compressed("") + zstd_compressed("two"));
  EXPECT_EQ(read_all(folder / "a", 100), "one two");
  EXPECT_EQ(read_all(folder / "b", 100), "one two");
}

TEST(TextFile, ReadsEmptyFiles) {
  const TempDir folder;
  write_file(folder / "plain", "");
  write_file(folder / "gz", gzipped(""));
  write_file(folder / "zst", zstd_compressed(""));
  for (const char* const name : {"plain", "gz", "zst"}) EXPECT_EQ(read_all(folder / name, 10), "");
}

TEST(TextFile, RejectsDamagedAndCutData) {
  const TempDir folder;
  const std::string text = sample_text(), gz = gzipped(text), zst = zstd_compressed(text);
  const std::string flipped = [&] {
    std::string bytes = gz;
    bytes[bytes.size() - 6] = static_cast<char>(bytes[bytes.size() - 6] ^ 1);  // in the CRC
    return bytes;
  }();
  const struct {
    std::string bytes, phrase;
  } table[] = {
      {gz.substr(0, gz.size() - 1), "cut off"},
      {gz.substr(0, gz.size() / 2), "cut off"},
      {gz.substr(0, 5), "cut off"},
      {flipped, "damaged gzip data"},
      {gz + "garbage", "damaged gzip data"},
      {zst.substr(0, zst.size() / 2), "cut off"},
      {zst.substr(0, zst.size() - 1), "cut off"},
      {zst + "garbage", "damaged zstd data"},
      {zst.substr(0, 100) + zst.substr(200), "damaged zstd data"},
  };
  for (const auto& row : table) {
    write_file(folder / "x", row.bytes);
    expect_error<FormatError>([&] { read_all(folder / "x", 65536); }, row.phrase);
  }
}

TEST(TextFile, PassesOverSkippableFrames) {
  const TempDir folder;
  const std::string skipped = std::string("\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
  write_file(folder / "first", skipped + zstd_compressed("text"));
  EXPECT_EQ(read_all(folder / "first", 100), "text");
  write_file(folder / "last", zstd_compressed("text") + std::string("\x5f") + skipped.substr(1));
  EXPECT_EQ(read_all(folder / "last", 100), "text");
}

TEST(TextFile, NamesOtherCompressions) {
  const TempDir folder;
  const std::vector<std::pair<std::string, std::string>> rows{
      {std::string("\xfd"
                   "7zXZ\0",
                   6),
       "is an xz file, expected plain text, gzip or zstd"},
      {"BZh91AY&SY", "is a bzip2 file"},
      {"\x04\x22\x4d\x18", "is an lz4 file"},
      {"LZIP\x01", "is an lzip file"},
      {"PK\x03\x04", "is a zip archive"},
      {"x\x9c\x4b", "is zlib data"},
      {std::string("\x28\xb5\x2f\xfd\0\xa8", 6), "a window above 1 GiB"}};
  for (const auto& [bytes, phrase] : rows) {
    write_file(folder / "x", bytes + "more");
    expect_error<FormatError>([&] { read_all(folder / "x", 100); }, phrase);
  }
  for (const std::string text : {"x^2 + 1", "BZ", "PK", "P", ""}) {
    write_file(folder / "x", text);
    EXPECT_EQ(read_all(folder / "x", 100), text);
  }
}

TEST(TextFile, RefusesWhatIsNoFile) {
  const TempDir folder;
  expect_error<IoError>([&] { TextFile::open(folder / "none"); },
                        "none: cannot open: No such file");
  expect_error<IoError>([&] { TextFile::open(folder.path()); }, "is a directory");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_error<IoError>([&] { TextFile::open(folder / "pipe"); }, "not a regular file");
}

}  // namespace
}  // namespace compat
