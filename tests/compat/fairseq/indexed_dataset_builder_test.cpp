#include "compat/fairseq/indexed_dataset_builder.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace compat {
namespace {

using btm_test::expect_error;
using btm_test::golden;
using btm_test::read_file;

void copy(const IndexedDataset& dataset, const std::filesystem::path& prefix, DatasetImpl impl,
          std::int64_t vocab_size) {
  const auto builder = IndexedDatasetBuilder::create(prefix, impl, vocab_size);
  for (std::int64_t i = 0; i < dataset.size(); ++i) builder->add(dataset.sequence(i));
  builder->finalize();
}

void expect_same_files(const std::filesystem::path& prefix, const std::filesystem::path& expected) {
  for (const char* suffix : {".bin", ".idx"})
    EXPECT_TRUE(read_file(prefix.string() + suffix) == read_file(expected.string() + suffix))
        << expected << suffix;
}

TEST(IndexedDatasetBuilder, WritesFairseqsMmapBytes) {
  const btm_test::TempDir dir;
  for (const std::string domain : {"fortunes", "jargon", "perl", "politics"})
    for (const std::string split : {"valid_", "test_"}) {
      const auto source = golden("data-bin/" + domain + "/" + split + domain);
      copy(*IndexedDataset::open(source), dir / "copy", DatasetImpl::kMmap, 2112);
      expect_same_files(dir / "copy", source);
    }
}

TEST(IndexedDatasetBuilder, WritesFairseqsLegacyBytes) {
  const btm_test::TempDir dir;
  const auto source = IndexedDataset::open(golden("data-bin/fortunes/valid_fortunes"));
  copy(*source, dir / "copy", DatasetImpl::kLegacy, 2112);
  expect_same_files(dir / "copy", golden("data-bin-impl/lazy/valid"));
  expect_same_files(dir / "copy", golden("data-bin-impl/cached/valid"));
}

TEST(IndexedDatasetBuilder, ChoosesTheDtypeByTheVocabulary) {
  const btm_test::TempDir dir;
  const auto dtype_for = [&](DatasetImpl impl, std::int64_t vocab_size) {
    IndexedDatasetBuilder::create(dir / "d", impl, vocab_size)->finalize();
    return std::string(IndexedDataset::open(dir / "d")->dtype());
  };
  EXPECT_EQ(dtype_for(DatasetImpl::kMmap, 65499), "uint16");
  EXPECT_EQ(dtype_for(DatasetImpl::kMmap, 65500), "uint32");
  EXPECT_EQ(dtype_for(DatasetImpl::kLegacy, 65500), "int32");
}

TEST(IndexedDatasetBuilder, RefusesAnIdThatDoesNotFit) {
  const btm_test::TempDir dir;
  const auto add = [&](const char* dtype, DatasetImpl impl, std::int64_t id) {
    const std::vector<std::int64_t> ids{1, id};
    IndexedDatasetBuilder::create(dir / "d", impl, 10, dtype)->add(ids);
  };
  add("uint8", DatasetImpl::kMmap, 255);
  expect_error<FormatError>([&] { add("uint8", DatasetImpl::kMmap, 256); },
                            "d.bin: token id 256 of sequence 0 does not fit uint8");
  expect_error<FormatError>([&] { add("uint16", DatasetImpl::kMmap, -1); },
                            "token id -1 of sequence 0 does not fit uint16");
  expect_error<FormatError>([&] { add("int32", DatasetImpl::kLegacy, INT32_MAX); },
                            "does not fit int32");  // because ids are stored one higher
  expect_error<FormatError>([&] { add("int64", DatasetImpl::kLegacy, INT64_MAX); },
                            "does not fit int64");
}

TEST(IndexedDatasetBuilder, RefusesWhatFairseqCannotRead) {
  const btm_test::TempDir dir;
  expect_error<UnsupportedError>(
      [&] { IndexedDatasetBuilder::create(dir / "d", DatasetImpl::kRaw, 10); },
      "writing a data-bin as raw");
  expect_error<UnsupportedError>(
      [&] { IndexedDatasetBuilder::create(dir / "d", DatasetImpl::kMmap, 10, "float64"); },
      "a data-bin of 'float64'");
}

TEST(IndexedDatasetBuilder, LeavesNothingUnfinished) {
  const btm_test::TempDir dir;
  IndexedDatasetBuilder::create(dir / "d", DatasetImpl::kMmap, 10)
      ->add(std::vector<std::int64_t>{1, 2});
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace compat
