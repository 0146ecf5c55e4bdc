#include "compat/io/digest_cache.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/io/sha256.h"
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
  const std::filesystem::path old = btm_test::golden("corpus/spm.model");
  std::string right;
  {
    DigestCache cache(dir / "cache");
    right = cache.of(old);
    EXPECT_EQ(cache.files_read(), 1u);
    EXPECT_EQ(cache.read_at(old).size(), std::string_view("2026-11-29T07:00:00Z").size());
    cache.save();
  }
  std::string record = btm_test::read_file(dir / "cache");
  write_file(dir / "cache", record.replace(record.find(right), right.size(),
                                           kAbc));  // so the file was not read
  DigestCache cache(dir / "cache");
  EXPECT_EQ(cache.of(old), kAbc);
  EXPECT_EQ(cache.files_remembered(), 1u);
  EXPECT_EQ(cache.files_read(), 0u);
  cache.forget();
  EXPECT_EQ(cache.of(old), right);
  EXPECT_EQ(cache.files_read(), 1u);
}

TEST(DigestCache, ReadsAgainWhatChangedInPlaceUnderItsOldTime) {
  const TempDir dir;
  write_file(dir / "file", "abc");
  {
    DigestCache cache(dir / "cache");
    EXPECT_EQ(cache.of(dir / "file"), kAbc);
    cache.save();
  }
  const auto time = std::filesystem::last_write_time(dir / "file");
  write_file(dir / "file", "xyz");
  std::filesystem::last_write_time(dir / "file", time);
  EXPECT_NE(DigestCache(dir / "cache").of(dir / "file"), kAbc);
}

TEST(DigestCache, KnowsNothingOfAFileThatItNeverRead) {
  EXPECT_EQ(DigestCache().read_at("/none"), "");
}

TEST(DigestCache, IsEmptyWhenItsFileIsDamaged) {
  const TempDir dir;
  write_file(dir / "file", "abc");
  const std::string path = (dir / "file").string();
  for (const std::string& content :
       {std::string("{"), std::string("[1]"), "{\"" + path + "\": 1}",
        "{\"" + path + "\": {\"size\": \"x\"}}",
        "{\"" + path + "\": {\"size\": 3, \"inode\": 1, \"changed_ns\": 1, \"sha256\": \"\"}}"}) {
    write_file(dir / "cache", content);
    EXPECT_EQ(DigestCache(dir / "cache").of(dir / "file"), kAbc) << content;
  }
}

TEST(DigestCache, NamesAFileThatIsMissing) {
  const TempDir dir;
  btm_test::expect_error<IoError>([&] { DigestCache(dir / "cache").of(dir / "none"); },
                                  "none: cannot open");
}

}  // namespace
}  // namespace compat
