#include "compat/digest_cache.h"

#include <gtest/gtest.h>

#include "compat/error.h"
#include "compat/sha256.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::TempDir;
using btm_test::write_file;

constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(DigestCache, GivesTheSha256OfTheContent) {
  const TempDir dir;
  write_file(dir / "file", "abc");
  DigestCache cache(dir / "cache");
  EXPECT_EQ(cache.of(dir / "file"), kAbc);
  write_file(dir / "file", "abcd");
  EXPECT_NE(cache.of(dir / "file"), kAbc);
}

TEST(DigestCache, RemembersWhatHasNotChanged) {
  const TempDir dir;
  write_file(dir / "file", "abc");
  {
    DigestCache cache(dir / "cache");
    cache.of(dir / "file");
    cache.save();
  }
  // Same size, inode and time, other content: the cache cannot know, which shows that it did not read.
  const auto time = std::filesystem::last_write_time(dir / "file");
  write_file(dir / "file", "xyz");
  std::filesystem::last_write_time(dir / "file", time);
  EXPECT_EQ(DigestCache(dir / "cache").of(dir / "file"), kAbc);
}

TEST(DigestCache, IsEmptyWhenItsFileIsDamaged) {
  const TempDir dir;
  write_file(dir / "file", "abc");
  const std::string path = (dir / "file").string();
  for (const std::string& content : {std::string("{"), std::string("[1]"), "{\"" + path + "\": 1}", "{\"" + path + "\": {\"size\": \"x\"}}",
                                     "{\"" + path + "\": {\"size\": 3, \"inode\": 1, \"changed_ns\": 1}}"}) {
    write_file(dir / "cache", content);
    EXPECT_EQ(DigestCache(dir / "cache").of(dir / "file"), kAbc) << content;
  }
}

TEST(DigestCache, NamesAFileThatIsMissing) {
  const TempDir dir;
  btm_test::expect_error<IoError>([&] { DigestCache(dir / "cache").of(dir / "none"); }, "none: open");
}

}  // namespace
}  // namespace compat
