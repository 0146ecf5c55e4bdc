#include "compat/io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "compat/base/byte_reader.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;

std::size_t entries_in(const btm_test::TempDir& dir) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(dir.path()), {}));
}

TEST(AtomicFile, AppearsAtCommitOnly) {
  const btm_test::TempDir dir;
  AtomicFile file(dir / "f");
  file.write("hello");
  EXPECT_FALSE(std::filesystem::exists(dir / "f"));
  file.commit();
  EXPECT_EQ(btm_test::read_file(dir / "f"), "hello");
  EXPECT_EQ(entries_in(dir), 1U);
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "f", "old");
  { AtomicFile(dir / "f").write("new"); }
  EXPECT_EQ(btm_test::read_file(dir / "f"), "old");
  EXPECT_EQ(entries_in(dir), 1U);
}

TEST(AtomicFile, WritesLargeAndSmallPiecesInOrder) {
  const btm_test::TempDir dir;
  const std::string large(3U << 20, 'x');
  AtomicFile file(dir / "f");
  file.write("a");
  file.write(large);
  file.write("b");
  file.write_at(0, as_byte_span("A"));
  EXPECT_EQ(file.size(), large.size() + 2);
  file.commit();
  EXPECT_EQ(btm_test::read_file(dir / "f"), "A" + large + "b");
}

TEST(AtomicFile, TwoWritersOfOnePathDoNotMix) {
  const btm_test::TempDir dir;
  AtomicFile one(dir / "f"), two(dir / "f");
  one.write("one");
  two.write("two");
  one.commit();
  two.commit();
  EXPECT_EQ(btm_test::read_file(dir / "f"), "two");
  EXPECT_EQ(entries_in(dir), 1U);
}

TEST(AtomicFile, RefusesWhatItMayNotReplace) {
  const btm_test::TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  expect_error<IoError>([&] { AtomicFile file(dir / "pipe"); },
                        "pipe: is a device or FIFO, expected a file to write");
  expect_error<IoError>([&] { AtomicFile file(dir.path()); },
                        "is a directory, expected a file to write");
  expect_error<IoError>([] { AtomicFile file("/dev/null"); },
                        "/dev/null: is a device or FIFO, expected a file to write");
  expect_error<IoError>([&] { AtomicFile file(dir / "none/f"); },
                        "none/f: cannot create: No such file or directory");
  EXPECT_EQ(entries_in(dir), 1U);
}

TEST(CheckCanWrite, SaysBeforehandWhatAtomicFileWouldRefuse) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "f", "old");
  check_can_write(dir / "f");
  check_can_write(dir / "new");
  EXPECT_EQ(btm_test::read_file(dir / "f"), "old");
  EXPECT_EQ(entries_in(dir), 1U);
  expect_error<IoError>([&] { check_can_write(dir / "none/f"); },
                        "none/f: cannot create: No such file or directory");
  expect_error<IoError>([&] { check_can_write(dir.path()); },
                        "is a directory, expected a file to write");
}

TEST(CheckCanWriteIn, TakesFoldersThatAreThereOrCanBeMade) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "f", "");
  check_can_write_in(dir.path());
  check_can_write_in(dir / "a/b/");
  EXPECT_EQ(entries_in(dir), 1U);
  expect_error<IoError>([&] { check_can_write_in(dir / "f"); },
                        "f: is not a folder, expected one to write in");
  expect_error<IoError>([&] { check_can_write_in(dir / "f/a/b"); },
                        "f: is not a folder, expected one to write in");
  expect_error<IoError>([&] { check_can_write_in("/proc/1/new"); },
                        "/proc/1");  // no file can be created there
}

/// A file size limit replaces a full disk: write() reports both as an error.
int write_beyond_limit(const std::filesystem::path& path) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{1U << 20, 1U << 20};
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
  try {
    write_file_atomically(path, std::string(4U << 20, 'x'));
  } catch (const IoError& error) {
    return std::string_view(error.what()).find("cannot write: File too large") !=
                   std::string_view::npos
               ? 0
               : 3;
  }
  return 1;
}

TEST(AtomicFile, LeavesTheOldFileWhenTheDiskIsFull) {
  const btm_test::TempDir dir;
  btm_test::write_file(dir / "f", "old");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(write_beyond_limit(dir / "f"));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(btm_test::read_file(dir / "f"), "old");
  EXPECT_EQ(entries_in(dir), 1U);
}

}  // namespace
}  // namespace compat
