#include "btm/ensemble/score_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "tests/support/files.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using btm_test::golden;

struct CacheTest : ::testing::Test {
  btm_test::TempDir dir;
  std::vector<std::string> warnings;
  ScoreCache cache{dir / "cache", 1 << 20,
                   [this](const std::string& line) { warnings.push_back(line); }};
  const std::string data = std::string(64, 'd'), model = std::string(64, 'a');
  const std::vector<float> scores{-1.5F, 0.0F, -2.25F};

  fs::path file() const { return dir / "cache" / data / (model + ".scores"); }
  static void age(const fs::path& path, int hours) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours));
  }
};

TEST_F(CacheTest, GivesBackWhatItKeeps) {
  EXPECT_FALSE(cache.knows(data));
  EXPECT_FALSE(cache.load(data, model, 3));
  cache.store(data, model, scores);
  EXPECT_TRUE(cache.knows(data));
  EXPECT_TRUE(std::ranges::equal(cache.load(data, model, 3).value().values(), scores));
  EXPECT_TRUE(warnings.empty());
}

TEST_F(CacheTest, ScoresOutliveTheirFile) {
  ASSERT_TRUE(cache.store(data, model, scores));
  const Scores loaded = cache.load(data, model, 3).value();
  ASSERT_TRUE(cache.store(data, model, std::vector<float>{-7, -8, -9}));
  EXPECT_TRUE(std::ranges::equal(loaded.values(), scores));
  fs::remove_all(dir / "cache");
  const Scores copy = loaded;
  EXPECT_TRUE(std::ranges::equal(copy.values(), scores));
  EXPECT_TRUE(std::ranges::equal(Scores(scores).values(), scores));
  EXPECT_TRUE(Scores().values().empty());
}

TEST_F(CacheTest, ComputesAgainWhatIsDamaged) {
  cache.store(data, model, scores);
  const std::string good = btm_test::read_file(file());
  EXPECT_FALSE(cache.load(data, model, 4));
  const std::vector<std::pair<std::string, std::string>> bad{
      {"", "the signature"},
      {good.substr(0, good.size() - 1), "the checksum"},
      {good + "x", "the checksum is wrong"},
      {std::string("BTMSCOR1") + good.substr(8), "are no scores"},
      {[&] {
         std::string bytes = good;
         bytes[17] ^= 1;
         return bytes;
       }(),
       "the checksum is wrong"},
  };
  for (const auto& [bytes, phrase] : bad) {
    warnings.clear();
    btm_test::write_file(file(), bytes);
    EXPECT_FALSE(cache.load(data, model, 3));
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_NE(warnings[0].find(phrase), std::string::npos) << warnings[0];
  }
  cache.store(data, model, scores);
  EXPECT_TRUE(std::ranges::equal(cache.load(data, model, 3).value().values(), scores));
}

TEST_F(CacheTest, RemovesWhatWasNotUsedForLongest) {
  ScoreCache small(dir / "cache", 3 * 4080,
                   [this](const std::string& line) { warnings.push_back(line); });
  const std::vector<float> thousand(1000, -1.0F);  // 4080 bytes with its frame
  for (const char* const name : {"a", "b", "c"}) small.store(data, name, thousand);
  age(dir / "cache" / data / "a.scores", 3);
  age(dir / "cache" / data / "b.scores", 2);
  EXPECT_TRUE(small.load(data, "a", 1000));  // used, so b is now the oldest
  btm_test::write_file(dir / "cache" / data / "z.scores.tmp.1.1", "left by a run that was killed");
  age(dir / "cache" / data / "z.scores.tmp.1.1", 25);
  small.store(data, "d", thousand);
  EXPECT_TRUE(small.load(data, "a", 1000));
  EXPECT_FALSE(small.load(data, "b", 1000));
  EXPECT_TRUE(small.load(data, "d", 1000));
  EXPECT_FALSE(fs::exists(dir / "cache" / data / "z.scores.tmp.1.1"));
  EXPECT_TRUE(warnings.empty());
  small.store(data, "e", std::vector<float>(5000, -1.0F));
  EXPECT_FALSE(small.load(data, "e", 5000));
  EXPECT_EQ(warnings.size(), 1U);
}

TEST_F(CacheTest, IsNoErrorWhereItCannotBe) {
  btm_test::write_file(dir / "file", "x");
  ScoreCache broken(dir / "file", 1 << 20,
                    [this](const std::string& line) { warnings.push_back(line); });
  broken.store(data, model, scores);
  EXPECT_FALSE(broken.load(data, model, 3));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("scores are not kept"), std::string::npos) << warnings[0];
}

TEST_F(CacheTest, TellsModelsApartByContentNotByName) {
  const fs::path perl = golden("checkpoints/elm_perl/checkpoint_last.pt");
  const auto digest = [&](const fs::path& path, const char* precision = "float") {
    return cache.model_digest(compat::Checkpoint::open(path), precision);
  };
  fs::copy_file(perl, dir / "copy.pt");
  const std::string first = digest(perl);
  EXPECT_EQ(digest(perl), first);  // from memory
  EXPECT_EQ(digest(dir / "copy.pt"), first);
  EXPECT_NE(digest(perl, "half"), first);
  EXPECT_NE(digest(golden("checkpoints/elm_jargon/checkpoint_last.pt")), first);
  age(dir / "copy.pt", 1);
  EXPECT_EQ(digest(dir / "copy.pt"), first);
  fs::copy_file(golden("checkpoints/elm_jargon/checkpoint_last.pt"), dir / "copy.pt",
                fs::copy_options::overwrite_existing);
  age(dir / "copy.pt", 1);
  EXPECT_NE(digest(dir / "copy.pt"), first);
}

TEST_F(CacheTest, SeesThatAFileIsNoLongerWhatWasHashed) {
  const fs::path path = dir / "model.pt";
  const auto put = [&](const std::string& name) {
    fs::copy_file(golden("checkpoints/" + name + "/checkpoint_last.pt"), dir / "new.pt");
    fs::rename(dir / "new.pt", path);
  };
  put("elm_perl");
  const auto open = [&] { return compat::Checkpoint::open(path); };
  const compat::Checkpoint perl = open();
  const std::string digest = cache.model_digest(perl, "float");
  EXPECT_TRUE(cache.is_still(perl, "float", digest));  // changed so recently that it is read again
  put("elm_jargon");
  EXPECT_EQ(cache.model_digest(perl, "float"),
            digest);  // the digest of the open file, not of the new file with its name
  EXPECT_FALSE(cache.is_still(perl, "float", digest));
  EXPECT_EQ(warnings.size(), 1U);
  EXPECT_NE(cache.model_digest(open(), "float"), digest);
}

}  // namespace
}  // namespace btm
