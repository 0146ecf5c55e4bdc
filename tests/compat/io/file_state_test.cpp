#include "compat/io/file_state.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <utility>

#include "tests/support/files.h"

namespace {

using btm_test::TempDir;
using btm_test::write_file;
using compat::FileState;

TEST(FileState, ShowsAWriteAReplacementAndATimeThatWasSetBack) {
  const TempDir dir;
  write_file(dir / "file", "abc");
  const FileState before = *FileState::of(dir / "file");
  EXPECT_TRUE(before.is_same_as(*FileState::of(dir / "file")));
  write_file(dir / "new", "xyz");
  std::filesystem::last_write_time(dir / "new", std::filesystem::last_write_time(dir / "file"));
  std::filesystem::rename(dir / "new", dir / "file");
  const FileState after = *FileState::of(dir / "file");
  EXPECT_EQ(before.size, after.size);
  EXPECT_EQ(before.modified_ns, after.modified_ns);
  EXPECT_FALSE(before.is_same_as(after));
  EXPECT_NE(before.to_text(), after.to_text());
  EXPECT_FALSE(FileState::of(dir / "none"));
}

TEST(FileState, IsNotSettledUntilTwoSecondsAfterTheLastChange) {
  FileState state;
  state.modified_ns = 5'000'000'000;
  state.changed_ns = 6'000'000'000;
  for (const auto& [seen, settled] : {std::pair<std::int64_t, bool>{5'000'000'000, false},
                                      {7'999'999'999, false},
                                      {8'000'000'000, true},
                                      {std::numeric_limits<std::int64_t>::min(), false}}) {
    state.seen_ns = seen;
    EXPECT_EQ(state.is_settled(), settled) << seen;
    EXPECT_EQ(state.is_unchanged_until(state), settled) << seen;
  }
}

TEST(FileState, IsSettledForAFileThatIsOldAndNotForANewOne) {
  const TempDir dir;
  write_file(dir / "file", "abc");
  // However long this process is held up, the file is new.
  std::filesystem::last_write_time(
      dir / "file", std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_FALSE(FileState::of(dir / "file")->is_settled());
  EXPECT_TRUE(FileState::of(btm_test::golden("corpus/spm.model"))->is_settled());
}

}  // namespace
