#include "btm/trainer/epoch_batches.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;

const auto kSilent = [](const std::string&) {};

TrainOptions golden_options(const std::string& data) {
  TrainOptions options;
  options.task.data = golden("data-bin/" + data).string();
  options.task.tokens_per_sample = 128;
  options.dataset.batch_size = 2;
  options.dataset.required_batch_size_multiple = 1;
  options.model.arch = "transformer_lm";
  return options;
}

compat::Dictionary dictionary() { return compat::Dictionary::load(golden("data-bin/dict.txt")); }

std::vector<nlohmann::json> lines_of(const std::string& name) {
  std::ifstream in(golden(name));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

/// Compares every micro-batch, ids and tokens, with what fairseq trained on.
void expect_golden_batches(EpochBatches& batches, const std::string& name) {
  UpdateBatches update;
  std::size_t next = 0;
  for (const nlohmann::json& expected : lines_of(name)) {
    if (next == update.size()) {
      update = batches.next();
      next = 0;
    }
    const DeviceBatch& batch = update.at(next++);
    EXPECT_EQ(batch.ids, expected.at("id").get<std::vector<std::int64_t>>()) << name;
    const auto source = expected.at("src").get<std::vector<std::vector<std::int64_t>>>();
    const auto target = expected.at("tgt").get<std::vector<std::vector<std::int64_t>>>();
    ASSERT_EQ(batch.tokens.size(0), static_cast<std::int64_t>(source.size()));
    for (std::size_t row = 0; row < source.size(); ++row)
      for (std::size_t column = 0; column < source[row].size(); ++column) {
        EXPECT_EQ(batch.tokens[static_cast<std::int64_t>(row)][static_cast<std::int64_t>(column)]
                      .item<std::int64_t>(),
                  source[row][column]);
        EXPECT_EQ(batch.targets[static_cast<std::int64_t>(row * source[row].size() + column)]
                      .item<std::int64_t>(),
                  target[row][column]);
      }
  }
}

TEST(EpochBatches, AreFairseqsOfOneDomain) {
  const TrainData data =
      open_train_data(golden_options("fortunes"), dictionary(), 1, {0, 1, 128}, kSilent);
  EpochBatches batches(data, {}, 1, {}, 2, false, 4);
  EXPECT_EQ(batches.size(), 309);  // as the golden log's fractions of an epoch say
  expect_golden_batches(batches, "training/single/batches.jsonl");
}

TEST(EpochBatches, AreFairseqsOfABranch) {
  const TrainData data =
      open_train_data(golden_options("perl"), dictionary(), 1, {0, 1, 128}, kSilent);
  EpochBatches batches(data, {}, 1, {}, 2, false, 4);
  expect_golden_batches(batches, "training/branch_perl/batches.jsonl");
}

TrainOptions multidomain_options() {
  TrainOptions options = golden_options("");
  options.task.task = "multidomain_language_modeling";
  options.task.train_domains = options.task.eval_domains = "perl,politics,jargon,fortunes";
  return options;
}

TEST(EpochBatches, AreFairseqsOfEveryRank) {
  for (std::int64_t rank = 0; rank < 4; ++rank) {
    const TrainData data =
        open_train_data(multidomain_options(), dictionary(), 1, {rank, 4, 128}, kSilent);
    EpochBatches batches(data, {}, 1, {}, 1, false, 4);
    EXPECT_EQ(batches.size(), 157);
    expect_golden_batches(batches,
                          "training/multidomain/batches.rank" + std::to_string(rank) + ".jsonl");
  }
}

TEST(EpochBatches, OneProcessTakesThePartsOfAllDomains) {
  const TrainData data =
      open_train_data(multidomain_options(), dictionary(), 1, {0, 1, 128}, kSilent);
  ASSERT_EQ(data.ranks.size(), 4U);
  EXPECT_EQ(data.num_shards, 4);
  EpochBatches batches(data, {}, 1, {}, 1, false, 4);
  const UpdateBatches update = batches.next();
  ASSERT_EQ(update.size(), 4U);
  for (std::size_t rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(update[rank].domain, static_cast<std::int64_t>(rank));
    EXPECT_EQ(update[rank].ids,
              lines_of("training/multidomain/batches.rank" + std::to_string(rank) + ".jsonl")
                  .front()
                  .at("id")
                  .get<std::vector<std::int64_t>>());
  }
}

TEST(EpochBatches, GoOnWhereACheckpointStood) {
  const TrainData data =
      open_train_data(golden_options("fortunes"), dictionary(), 1, {0, 1, 128}, kSilent);
  EpochBatches whole(data, {}, 1, {}, 2, false, 4);
  for (int i = 0; i < 20; ++i) whole.next();
  const IteratorState state = whole.state();
  EXPECT_EQ(state.iterations_in_epoch, 40);
  EpochBatches rest(data, {}, 1, state, 2, false, 4);
  EXPECT_EQ(rest.size(), whole.size());
  EXPECT_EQ(rest.done(), 20);
  for (int i = 0; i < 3; ++i) {
    const UpdateBatches a = whole.next(), b = rest.next();
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t j = 0; j < a.size(); ++j) EXPECT_EQ(a[j].ids, b[j].ids);
  }
}

TEST(EpochBatches, EndTheEpochAndCoverEverySampleOnce) {
  const TrainData data =
      open_train_data(golden_options("fortunes"), dictionary(), 1, {0, 1, 128}, kSilent);
  std::vector<int> seen(static_cast<std::size_t>(data.ranks.front().dataset->size()));
  EpochBatches batches(data, {}, 1, {}, 64, false, 2);
  while (batches.has_next())
    for (const DeviceBatch& batch : batches.next())
      for (const std::int64_t id : batch.ids) ++seen[static_cast<std::size_t>(id)];
  EXPECT_TRUE(std::ranges::all_of(seen, [](int count) { return count == 1; }));
  EXPECT_EQ(batches.state().epoch, 2);
  EXPECT_EQ(batches.state().iterations_in_epoch, 0);
}

TEST(EpochBatches, ShardsEndTogetherOneWithoutABatch) {
  TrainOptions options = golden_options("fortunes");
  std::int64_t batches = 0;
  for (std::int64_t rank = 0; rank < 4; ++rank) {
    const TrainData data = open_train_data(options, dictionary(), 1, {rank, 4, 128}, kSilent);
    EpochBatches shard(data, {}, 1, {}, 1, false, 2);
    EXPECT_EQ(shard.size(), 155);
    while (shard.has_next()) batches += static_cast<std::int64_t>(shard.next().size());
  }
  EXPECT_EQ(batches, 617);
}

TEST(EpochBatches, LeavesOutTheRemainderWhenAsked) {
  const TrainData data =
      open_train_data(golden_options("fortunes"), dictionary(), 1, {0, 1, 128}, kSilent);
  EpochBatches batches(data, {}, 1, {}, 10, /*skip_remainder_batch=*/true, 2);
  EXPECT_EQ(batches.size(), 61);  // 616 of 617 batches, and only whole updates of them
}

/// fairseq's resumed epoch is shorter here. See btm/trainer/README.md.
TEST(EpochBatches, LeavesOutTheSameRemainderAfterAResume) {
  const TrainData data =
      open_train_data(golden_options("fortunes"), dictionary(), 1, {0, 1, 128}, kSilent);
  EpochBatches through(data, {}, 1, {}, 10, /*skip_remainder_batch=*/true, 2);
  for (int i = 0; i < 40; ++i) through.next();
  EpochBatches resumed(data, {}, 1, through.state(), 10, /*skip_remainder_batch=*/true, 2);
  EXPECT_EQ(resumed.size(), through.size());
  EXPECT_EQ(resumed.done(), 40);
  while (through.has_next()) {
    ASSERT_TRUE(resumed.has_next());
    const UpdateBatches one = through.next(), other = resumed.next();
    ASSERT_EQ(one.size(), other.size());
    for (std::size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].ids, other[i].ids);
  }
  EXPECT_FALSE(resumed.has_next());
  EXPECT_EQ(resumed.state().epoch, 2);
}

TEST(EpochBatches, PadsToAFixedSize) {
  const TrainData data =
      open_train_data(golden_options("fortunes"), dictionary(), 1, {0, 1, 128}, kSilent);
  const DeviceBatch batch =
      prepare_batch(*data.ranks.front().dataset, {0}, 0, {1, 150, 3, at::kCPU});
  EXPECT_EQ(batch.tokens.sizes(), (std::vector<std::int64_t>{3, 150}));
  EXPECT_EQ(batch.targets.size(0), 128);
  EXPECT_EQ(batch.num_tokens, 128);
  EXPECT_EQ(batch.num_sentences, 1);
}

TEST(EpochBatches, RefusesAPlaceBeyondTheEpoch) {
  const TrainData data =
      open_train_data(golden_options("fortunes"), dictionary(), 1, {0, 1, 128}, kSilent);
  expect_error<compat::UsageError>(
      [&] {
        EpochBatches(data, {}, 1, {1, 700, true}, 1, false, 2);
      },
      "--reset-dataloader");
}

TEST(TrainData, SaysWhatDoesNotFit) {
  struct Row {
    std::function<void(TrainOptions&)> change;
    std::string phrase;
    DataPlace place{0, 1, 128};
  };
  const std::vector<Row> rows{
      {[](TrainOptions& o) { o.task.train_domains = "fortunes,sports"; }, "--train-domains: "},
      {[](TrainOptions& o) { o.task.train_domains = "fortunes,perl"; },
       "2 training domains on 3 processes",
       {0, 3, 128}},
      {[](TrainOptions& o) { o.task.train_domains = ""; }, "--train-domains names no domain"},
  };
  for (const Row& row : rows) {
    TrainOptions options = multidomain_options();
    row.change(options);
    expect_error<compat::UsageError>(
        [&] { open_train_data(options, dictionary(), 1, row.place, kSilent); }, row.phrase);
  }
  TrainOptions options = golden_options("fortunes");
  options.dataset.valid_subset = "valid_fortunes";
  options.dataset.batch_size_valid = 2;
  expect_error<compat::UsageError>(
      [&] {
        open_valid_data(options, dictionary(), {0, 1, 100}, kSilent);
      },
      "--skip-invalid-size-inputs-valid-test");
  options.dataset.skip_invalid_size_inputs_valid_test = true;
  std::string warning;
  open_valid_data(options, dictionary(), {0, 1, 100},
                  [&](const std::string& line) { warning = line; });
  EXPECT_NE(warning.find("will be skipped"), std::string::npos);
}

TEST(TrainData, ValidatesEachSubsetInItsDomain) {
  TrainOptions options = multidomain_options();
  options.dataset.valid_subset = "valid_perl,valid_fortunes";
  options.dataset.batch_size_valid = 2;
  const auto data = open_valid_data(options, dictionary(), {1, 2, 128}, kSilent);
  ASSERT_EQ(data.size(), 2U);
  EXPECT_EQ(data[0].domain, "perl");
  EXPECT_EQ(data[1].domain, "fortunes");
  EXPECT_EQ(data[1].steps, 19);
  EXPECT_EQ(data[1].batches.size(), 19U);
}

}  // namespace
}  // namespace btm
