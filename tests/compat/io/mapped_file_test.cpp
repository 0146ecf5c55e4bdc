#include "compat/io/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "compat/base/byte_reader.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;

TEST(MappedFile, ShowsTheFilesBytes) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "f", "content");
  const auto file = MappedFile::open(dir / "f");
  EXPECT_EQ(as_chars(file->bytes()), "content");
  EXPECT_EQ(file->path(), (dir / "f").string());
  EXPECT_TRUE(file->is_mapped());
}

TEST(MappedFile, ReadsAheadWhatIsThere) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "f", "content");
  read_ahead(dir / "f");
  read_ahead(dir / "none");  // no error
  read_ahead(dir.path());
  EXPECT_EQ(as_chars(MappedFile::open(dir / "f")->bytes()), "content");
}

TEST(MappedFile, OfAnEmptyFileIsEmpty) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "f", "");
  EXPECT_TRUE(MappedFile::open(dir / "f")->bytes().empty());
}

TEST(MappedFile, RefusesWhatIsNoRegularFile) {
  const btm_test::TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  expect_error<IoError>(
      [&] { MappedFile::open(dir / "pipe"); },
      "pipe: is a FIFO, expected a regular file");  // without waiting for a writer
  expect_error<IoError>([&] { MappedFile::open(dir.path()); },
                        "is a directory, expected a regular file");
  expect_error<IoError>([&] { MappedFile::open("/dev/null"); },
                        "/dev/null: is a device, expected a regular file");
  expect_error<IoError>([&] { MappedFile::open(dir / "none"); },
                        "none: cannot open: No such file or directory");
}

TEST(MappedFile, NamesAGitLfsPointer) {
  const btm_test::TempDir dir;
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, '0') +
      "\nsize 12345\n";
  btm_test::write_file(dir / "model.pt", pointer);
  expect_error<FormatError>(
      [&] { MappedFile::open(dir / "model.pt"); },
      "model.pt: is a Git LFS pointer, expected the file itself (git lfs pull fetches it)");
  btm_test::write_file(dir / "text", pointer + std::string(1024, 'x'));  // a pointer is short
  EXPECT_TRUE(MappedFile::open(dir / "text")->is_mapped());
  // A dict.txt may begin with these words; a pointer has a digest.
  btm_test::write_file(dir / "dict.txt", "version https://git-lfs.github.com/spec/v1 7\nlaw 3\n");
  EXPECT_TRUE(MappedFile::open(dir / "dict.txt")->is_mapped());
}

TEST(MappedFile, OfMemoryKeepsItsOwner) {
  auto owner = std::make_shared<std::string>("abc");
  const auto file = MappedFile::of_memory("name", as_byte_span(*owner), owner);
  EXPECT_EQ(owner.use_count(), 2);
  EXPECT_EQ(as_chars(file->bytes()), "abc");
  EXPECT_FALSE(file->is_mapped());
}

TEST(DropPages, LeavesTheContent) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "f", std::string(100'000, 'x'));
  const auto file = MappedFile::open(dir / "f");
  drop_pages(file->bytes());
  EXPECT_EQ(as_chars(file->bytes()), std::string(100'000, 'x'));
}

}  // namespace
}  // namespace compat
