#include "converters/preprocess_manifest.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "tests/support/files.h"

namespace converters {
namespace {

using btm_test::TempDir;
using btm_test::write_file;

TEST(PreprocessManifest, RemembersWhatFilesWereMadeFrom) {
  const TempDir folder;
  write_file(folder / "train.bin", "12345");
  PreprocessManifest(folder.path()).record("train", {1, "x"}, {"train.bin"});
  const PreprocessManifest again(folder.path());
  EXPECT_TRUE(again.holds("train", {1, "x"}, {"train.bin"}));
  EXPECT_FALSE(again.holds("train", {2, "x"}, {"train.bin"}));
  EXPECT_FALSE(again.holds("valid", {1, "x"}, {"train.bin"}));
  EXPECT_FALSE(again.holds("train", {1, "x"}, {"train.bin", "train.idx"}));
  write_file(folder / "train.bin", "12x45");
  EXPECT_FALSE(again.holds("train", {1, "x"}, {"train.bin"})) << "damaged, of equal length";
  write_file(folder / "train.bin", "1234");
  EXPECT_FALSE(again.holds("train", {1, "x"}, {"train.bin"}));
  std::filesystem::remove(folder / "train.bin");
  EXPECT_FALSE(again.holds("train", {1, "x"}, {"train.bin"}));
}

/// Found on 30 November 2026: runs at the same time lost each other's records.
TEST(PreprocessManifest, KeepsTheRecordsOfRunsAtTheSameTime) {
  const TempDir folder;
  PreprocessManifest law(folder.path()), code(folder.path());
  law.begin(true);
  code.begin(true);
  const auto records = [&](PreprocessManifest& manifest, const std::string& domain) {
    for (int i = 0; i < 40; ++i) {
      const std::string file = domain + std::to_string(i) + ".bin";
      write_file(folder / file, file);
      manifest.record(domain + std::to_string(i), i, {file});
    }
    manifest.finish();
  };
  std::thread other([&] { records(law, "law"); });
  records(code, "code");
  other.join();
  const PreprocessManifest both(folder.path());
  for (int i = 0; i < 40; ++i)
    for (const std::string domain : {"law", "code"}) {
      const std::string name = domain + std::to_string(i);
      EXPECT_TRUE(both.holds(name, i, {name + ".bin"})) << name;
    }
  EXPECT_FALSE(both.unfinished());
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    EXPECT_TRUE(entry.path().extension() == ".bin" || entry.path().extension() == ".json")
        << entry.path();
}

TEST(PreprocessManifest, RemembersNothingWhenDamaged) {
  for (const char* const text : {"", "[]", "{\"train\": 3}", "{\"train\": {\"made_from\": 1}}",
                                 "\xff", "{\"train\": {\"files\": []}"}) {
    const TempDir folder;
    write_file(folder / "preprocess.json", text);
    EXPECT_FALSE(PreprocessManifest(folder.path()).holds("train", {}, {"train.bin"})) << text;
  }
}

}  // namespace
}  // namespace converters
