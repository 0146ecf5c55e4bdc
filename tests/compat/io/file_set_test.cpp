#include "compat/io/file_set.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::read_file;
using btm_test::TempDir;
using btm_test::write_file;

std::size_t entries_of(const TempDir& dir) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(dir.path()), {}));
}

TEST(FileSet, ReplacesAndRemovesTogether) {
  const TempDir dir;
  write_file(dir / "a", "old");
  write_file(dir / "c", "old");
  for (const std::string name : {"a", "b"}) write_file(dir / staged_name(name), "new " + name);
  commit_file_set(dir / "marker", {{"a", "b"}, {"c"}});
  EXPECT_EQ(read_file(dir / "a"), "new a");
  EXPECT_EQ(read_file(dir / "b"), "new b");
  EXPECT_EQ(entries_of(dir), 2U);
  EXPECT_FALSE(finish_file_set(dir / "marker"));
}

/// The files after the process was killed at some moment after it wrote the marker.
TEST(FileSet, IsFinishedFromAnyMoment) {
  constexpr const char* kText = "files to replace (+) and to remove (-)\n+a\n+b\n-c\n";
  for (int renamed = 0; renamed <= 3; ++renamed) {
    const TempDir dir;
    write_file(dir / "marker", kText);
    write_file(dir / (renamed > 0 ? "a" : "a.staged"), "new a");
    write_file(dir / (renamed > 1 ? "b" : "b.staged"), "new b");
    if (renamed < 3) write_file(dir / "c", "old");
    EXPECT_TRUE(finish_file_set(dir / "marker")) << renamed;
    EXPECT_EQ(read_file(dir / "a") + read_file(dir / "b"), "new anew b") << renamed;
    EXPECT_EQ(entries_of(dir), 2U) << renamed;
  }
}

TEST(FileSet, WhatCannotBeCommittedLeavesTheOldFiles) {
  const TempDir dir;
  write_file(dir / "a", "old");
  write_file(dir / "a.staged", "new");
  std::filesystem::create_directory(dir / "marker");
  expect_error<IoError>(
      [&] {
        commit_file_set(dir / "marker", {{"a"}, {}});
      },
      "marker: is a directory");
  EXPECT_EQ(read_file(dir / "a"), "old");
  EXPECT_FALSE(std::filesystem::exists(dir / "a.staged"));
  expect_error<IoError>(
      [&] {
        commit_file_set(dir / "other", {{"../a"}, {}});
      },
      "cannot list '../a', expected the name of a file");
}

TEST(FileSet, RefusesWhatIsNoMarker) {
  const TempDir dir;
  const std::string first = "files to replace (+) and to remove (-)\n";
  for (const auto& [text, problem] :
       std::vector<std::pair<std::string, std::string>>{{"", "marker: is empty"},
                                                        {"x\n", "line 1]: is 'x'"},
                                                        {first + "+a", "line 2]: is '+a'"},
                                                        {first + "+../a\n", "line 2]: is '+../a'"},
                                                        {first + "-..\n", "line 2]: is '-..'"},
                                                        {first + "+a\na\n", "line 3]: is 'a'"},
                                                        {first + "+\n", "line 2]: is '+'"}}) {
    write_file(dir / "marker", text);
    write_file(dir / "a.staged", "new");
    expect_error<FormatError>([&] { finish_file_set(dir / "marker"); }, problem);
    EXPECT_TRUE(std::filesystem::exists(dir / "a.staged"));
  }
}

}  // namespace
}  // namespace compat
