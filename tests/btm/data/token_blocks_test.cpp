#include "btm/data/token_blocks.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset_builder.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using Ids = std::vector<std::int64_t>;

std::vector<Ids> blocks_of(const std::vector<std::int32_t>& sizes, SampleBreakMode mode,
                           std::int64_t block_size) {
  std::vector<Ids> out;
  for (const TokenBlock& block : make_token_blocks(sizes, mode, block_size))
    out.push_back({block.sequence, block.offset, block.length});
  return out;
}

TEST(MakeTokenBlocks, NoneCutsTheConcatenation) {
  EXPECT_EQ(blocks_of({3, 4, 2}, SampleBreakMode::kNone, 4),
            (std::vector<Ids>{{0, 0, 4}, {1, 1, 4}, {2, 1, 1}}));
}

TEST(MakeTokenBlocks, NonePassesOverEmptySequences) {
  EXPECT_EQ(blocks_of({0, 2, 0, 0, 2, 0}, SampleBreakMode::kNone, 2),
            (std::vector<Ids>{{1, 0, 2}, {4, 0, 2}}));
}

TEST(MakeTokenBlocks, EosTakesSequencesAsTheyAre) {
  EXPECT_EQ(blocks_of({3, 9}, SampleBreakMode::kEos, 4), (std::vector<Ids>{{0, 0, 3}, {1, 0, 9}}));
}

TEST(MakeTokenBlocks, CompleteJoinsWhatFits) {
  EXPECT_EQ(blocks_of({2, 2, 3, 9, 1}, SampleBreakMode::kComplete, 4),
            (std::vector<Ids>{{0, 0, 4}, {2, 0, 3}, {3, 0, 9}, {4, 0, 1}}));
}

TEST(MakeTokenBlocks, CompleteDocNeverCrossesADocumentsEnd) {
  EXPECT_EQ(blocks_of({2, 1, 2, 2, 1, 1}, SampleBreakMode::kCompleteDoc, 8),
            (std::vector<Ids>{{0, 0, 2}, {2, 0, 4}}));
}

TEST(MakeTokenBlocks, RefusesABlockWithoutTokens) {
  btm_test::expect_error<compat::UsageError>(
      [] { make_token_blocks({}, SampleBreakMode::kNone, 0); }, "--tokens-per-sample 0");
}

TEST(ParseSampleBreakMode, NamesTheChoices) {
  EXPECT_EQ(parse_sample_break_mode(""), SampleBreakMode::kNone);
  EXPECT_EQ(parse_sample_break_mode("complete_doc"), SampleBreakMode::kCompleteDoc);
  btm_test::expect_error<compat::UsageError>([] { parse_sample_break_mode("all"); },
                                             "expected none, eos, complete or complete_doc");
}

class TokenBlockDatasetTest : public testing::Test {
 protected:
  std::shared_ptr<const compat::IndexedDataset> dataset_of(const std::vector<Ids>& sequences) {
    const auto builder =
        compat::IndexedDatasetBuilder::create(folder_ / "data", compat::DatasetImpl::kMmap, 100);
    for (const Ids& ids : sequences) builder->add(ids);
    builder->finalize();
    return compat::IndexedDataset::open(folder_ / "data");
  }
  btm_test::TempDir folder_;
};

TEST_F(TokenBlockDatasetTest, SourceIsTheTargetMovedRight) {
  const TokenBlockDataset blocks(dataset_of({{5, 6, 2}, {7, 8, 9, 2}}), SampleBreakMode::kNone, 4,
                                 2);
  ASSERT_EQ(blocks.size(), 2);
  LmSample sample;
  blocks.read(0, sample);
  EXPECT_EQ(sample.target, (Ids{5, 6, 2, 7}));
  EXPECT_EQ(sample.source, (Ids{2, 5, 6, 2}));  // eos before the first token of a sequence
  blocks.read(1, sample);
  EXPECT_EQ(sample.target, (Ids{8, 9, 2}));
  EXPECT_EQ(sample.source, (Ids{7, 8, 9}));  // the token before the block
}

TEST_F(TokenBlockDatasetTest, AddsABosTokenThatIsNotScored) {
  const TokenBlockDataset blocks(dataset_of({{5, 6, 2}}), SampleBreakMode::kEos, 4, 2,
                                 /*first_token=*/0);
  LmSample sample;
  blocks.read(0, sample);
  EXPECT_EQ(sample.target, (Ids{0, 5, 6, 2}));
  EXPECT_EQ(sample.source, (Ids{0, 2, 5, 6}));
  EXPECT_EQ(sample.first_scored, 1);
}

TEST_F(TokenBlockDatasetTest, RefusesADataSetWithoutTokens) {
  const auto empty = dataset_of({});
  btm_test::expect_error<compat::FormatError>(
      [&] { TokenBlockDataset(empty, SampleBreakMode::kNone, 4, 2); }, "holds no tokens");
}

}  // namespace
}  // namespace btm
