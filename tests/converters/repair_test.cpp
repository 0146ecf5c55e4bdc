#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "converters/commands.h"
#include "tests/support/bytes.h"
#include "tests/support/command_output.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace {

namespace fs = std::filesystem;
using btm_test::expect_error;
using btm_test::golden;
using btm_test::le;
using btm_test::read_file;
using btm_test::TempDir;
using btm_test::write_file;

std::string repair(const std::vector<std::string>& args) {
  return btm_test::output_of(converters::run_repair, args);
}

TEST(Repair, RebuildsTheIndexThatFairseqWrote) {
  const TempDir folder;
  fs::copy_file(golden("data-bin/perl/valid_perl.bin"), folder / "valid.bin");
  fs::copy_file(golden("data-bin/dict.txt"), folder / "dict.txt");
  EXPECT_NE(repair({folder / "valid.bin", folder / "fixed"}).find("101 sequences, 7874 tokens\n"),
            std::string::npos);
  EXPECT_EQ(read_file(folder / "fixed.idx"), read_file(golden("data-bin/perl/valid_perl.idx")));
  EXPECT_EQ(read_file(folder / "fixed.bin"), read_file(golden("data-bin/perl/valid_perl.bin")));
}

TEST(Repair, RebuildsLegacyIndexes) {
  const TempDir folder;
  fs::copy_file(golden("data-bin-impl/lazy/valid.bin"), folder / "valid.bin");
  repair({folder / "valid", folder / "fixed", "--legacy", "--dict", golden("data-bin/dict.txt")});
  EXPECT_EQ(read_file(folder / "fixed.idx"), read_file(golden("data-bin-impl/lazy/valid.idx")));
}

TEST(Repair, LeavesOutWhatWasCutOff) {
  const TempDir folder;
  write_file(folder / "x.bin",
             le<std::uint16_t>(5) + le<std::uint16_t>(2) + le<std::uint16_t>(7) + "z");
  EXPECT_NE(repair({folder / "x", folder / "y", "--dtype", "uint16"})
                .find("1 sequences, 2 tokens; left out: 3 bytes after the last </s>"),
            std::string::npos);
}

TEST(Repair, FitsVocabularies) {
  const TempDir folder;
  const fs::path model = golden("checkpoints/elm_perl/checkpoint_last.pt");
  std::string dictionary = read_file(golden("data-bin/dict.txt"));
  const auto rows = [](const fs::path& path, const char* name) {
    return compat::Checkpoint::open(path).find(name)->shape[0];
  };
  write_file(folder / "long.txt", dictionary + "madeupword0003 0\nmadeupword0004 0\n");
  repair({model, folder / "long.pt", "--dict", folder / "long.txt"});
  EXPECT_EQ(rows(folder / "long.pt", "decoder.embed_tokens.weight"), 2114);
  EXPECT_EQ(rows(folder / "long.pt", "decoder.output_projection.weight"), 2114);
  const auto longer = compat::Checkpoint::open(folder / "long.pt");
  EXPECT_EQ(longer.find("decoder.embed_tokens.weight")->storage,
            longer.find("decoder.output_projection.weight")->storage);
  repair({folder / "long.pt", folder / "back.pt", "--dict", golden("data-bin/dict.txt")});
  std::vector<std::byte> scratch, other;
  const auto back = compat::Checkpoint::open(folder / "back.pt"),
             original = compat::Checkpoint::open(model);
  EXPECT_TRUE(
      std::ranges::equal(back.find("decoder.embed_tokens.weight")->contiguous_bytes(scratch),
                         original.find("decoder.embed_tokens.weight")->contiguous_bytes(other)));
  dictionary.resize(dictionary.find("madeupword0000"));
  write_file(folder / "short.txt", dictionary);
  repair({model, folder / "short.pt", "--dict", folder / "short.txt"});
  EXPECT_EQ(rows(folder / "short.pt", "decoder.embed_tokens.weight"), 2109);
  for (const char* const file :
       {"long.pt", "back.pt", "short.pt"})  // padding does not change the dictionary
    EXPECT_EQ(compat::Checkpoint::open(folder / file).dictionary().sha256,
              compat::known_dictionary(golden("data-bin/dict.txt")).sha256)
        << file;
}

TEST(Repair, RefusesWhatItCannotKnow) {
  const TempDir folder;
  const std::string model = golden("checkpoints/elm_perl/checkpoint_last.pt");
  const std::string dictionary = read_file(golden("data-bin/dict.txt"));
  write_file(folder / "words.txt", dictionary + "zyzzyva 0\n");
  expect_error<compat::FormatError>(
      [&] {
        repair({model, folder / "x.pt", "--dict", folder / "words.txt"});
      },
      "its symbol 'zyzzyva' (id 2112) is a word");
  repair({model, folder / "words.pt", "--dict", folder / "words.txt", "--allow-new-symbols"});
  write_file(folder / "other.txt", "a 1\n");
  expect_error<compat::FormatError>(
      [&] {
        repair({model, folder / "x.pt", "--dict", folder / "other.txt"});
      },
      "padding does not explain that many");
  expect_error<compat::FormatError>(
      [&] {
        repair({model, folder / "x.pt", "--dict", golden("data-bin/dict.txt")});
      },
      "nothing to fit");
  expect_error<compat::UsageError>([&] { repair({model, folder / "x.pt"}); }, "expected --dict");
  expect_error<compat::UsageError>(
      [&] {
        repair({golden("data-bin/perl/valid_perl"), folder / "x"});
      },
      "nothing to repair");
  write_file(folder / "orphan.bin", le<std::uint16_t>(5));
  expect_error<compat::UsageError>(
      [&] {
        repair({folder / "orphan", folder / "x"});
      },
      "expected --dict or --dtype");
  expect_error<compat::FormatError>(
      [&] {
        repair({folder / "orphan", folder / "x", "--dict", folder / "other.txt"});
      },
      "holds the token id 5");
  EXPECT_FALSE(fs::exists(folder / "x.bin"));
}

}  // namespace
