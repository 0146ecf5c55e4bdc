#include "converters/preprocess_manifest.h"

#include <gtest/gtest.h>

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
