#include "compat/io/file_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

using btm_test::expect_error;
using compat::FileLock;
using compat::IoError;

TEST(FileLock, IsHeldByOneAtATime) {
  const btm_test::TempDir dir;
  {
    const FileLock held = FileLock::now(dir / "lock");
    EXPECT_FALSE(FileLock::try_now(dir / "lock"));
    expect_error<IoError>([&] { FileLock::now(dir / "lock"); },
                          "lock: is in use by another process");
    EXPECT_TRUE(FileLock::try_now(dir / "other"));
  }
  EXPECT_TRUE(FileLock::try_now(dir / "lock"));
}

TEST(FileLock, CanBeAFolder) {
  const btm_test::TempDir dir;
  const FileLock held = FileLock::now(dir.path());
  EXPECT_FALSE(FileLock::try_now(dir.path()));
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(FileLock, MovesWithoutBeingFreed) {
  const btm_test::TempDir dir;
  std::optional<FileLock> first = FileLock::try_now(dir / "lock");
  ASSERT_TRUE(first);
  const FileLock second = *std::move(first);
  first.reset();
  EXPECT_FALSE(FileLock::try_now(dir / "lock"));
}

TEST(FileLock, WaitsForItsTurn) {
  const btm_test::TempDir dir;
  std::optional<FileLock> held = FileLock::try_now(dir / "lock");
  ASSERT_TRUE(held);
  std::atomic<bool> got{false};
  std::thread other([&] {
    const FileLock mine = FileLock::wait(dir / "lock");
    got = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(got);
  held.reset();
  other.join();
  EXPECT_TRUE(got);
}

TEST(FileLock, OutlivesItsProcessInAChild) {
  const btm_test::TempDir dir;
  int end[2];
  ASSERT_EQ(::pipe(end), 0);
  pid_t child = -1;
  {
    const FileLock held = FileLock::now(dir / "lock");
    child = ::fork();
    if (child == 0) {  // a program that does not use the lock; it ends when the pipe is closed
      ::dup2(end[0], STDIN_FILENO);
      ::close(end[1]);
      ::execlp("cat", "cat", nullptr);
      ::_exit(127);
    }
  }
  EXPECT_FALSE(FileLock::try_now(dir / "lock"));
  ::close(end[0]);
  ::close(end[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(FileLock::try_now(dir / "lock"));
}

TEST(FileLock, NeedsAFolderToBeIn) {
  const btm_test::TempDir dir;
  expect_error<IoError>([&] { FileLock::wait(dir / "none/lock"); },
                        "none/lock: open: No such file");
}

}  // namespace
