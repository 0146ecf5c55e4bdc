#include "btm/ensemble/cache_folder.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::TempDir;
using btm_test::write_file;

TEST(CacheFolder, RemovesWhatBtmWroteAndNothingElse) {
  const TempDir dir;
  const std::string hash(64, 'a');
  std::filesystem::create_directories(dir / "data");
  std::filesystem::create_directories(dir / "mine");
  write_file(dir / "data/m.scores", "BTMSCOR2 and more");
  write_file(dir / (hash + ".digest"), hash);
  write_file(dir / "data/m.scores.tmp.1.1", "left");
  write_file(dir / "mine/match.scores", "home 2, away 1");
  write_file(dir / "mine/mail.digest", "Dear list");
  write_file(dir / "mine/notes.txt", "BTMSCOR2");
  const std::vector<CachedFile> files = cached_files(dir.path());
  EXPECT_EQ(files.size(), 5U);
  EXPECT_EQ(remove_cached(dir.path(), files), 17U + 64U + 4U);
  EXPECT_FALSE(std::filesystem::exists(dir / "data"));
  for (const char* const name : {"match.scores", "mail.digest", "notes.txt"})
    EXPECT_TRUE(std::filesystem::exists(dir / "mine" / name)) << name;
}

TEST(CacheFolder, MayBeMissing) { EXPECT_TRUE(cached_files("/no/such/folder").empty()); }

}  // namespace
}  // namespace btm
