#include "btm/trainer/meters.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

std::optional<double> value_of(const LogRow& row, const std::string& key) {
  for (const auto& [name, value] : row)
    if (name == key) return value;
  ADD_FAILURE() << "no " << key;
  return {};
}

TEST(PythonRound, RoundsTheBinaryValueHalfToEven) {
  EXPECT_EQ(python_round(2.675, 2), 2.67);
  EXPECT_EQ(python_round(0.5, 0), 0);
  EXPECT_EQ(python_round(1.5, 0), 2);
  EXPECT_EQ(python_round(12.26649, 3), 12.266);
}

TEST(MetersDict, AveragesByWeightAndKeepsTheOrderOfPriority) {
  MetersDict meters;
  meters.log_scalar("lr", 0.1, 0, 300);
  meters.log_scalar("loss", 1, 1, 10, 3);
  meters.log_scalar("loss", 2, 3, 10, 3);
  meters.log_perplexity("ppl", "loss");
  meters.log_scalar("lr", 0.2, 0, 300);
  const LogRow row = meters.row();
  EXPECT_EQ(row[0].first, "loss");
  EXPECT_EQ(row[1].first, "ppl");
  EXPECT_EQ(value_of(row, "loss"), 1.75);
  EXPECT_EQ(value_of(row, "ppl"), 3.36);
  EXPECT_EQ(value_of(row, "lr"), 0.2);
  meters.reset();
  EXPECT_EQ(value_of(meters.row(), "loss"), std::nullopt);
}

TEST(MetersDict, CountsFromTheSecondEventOn) {
  MetersDict meters;
  meters.log_speed("ups", 1, 100, 2);
  EXPECT_EQ(value_of(meters.row(), "ups"), 0);
  meters.log_speed("ups", 1, 100, {});
  EXPECT_GT(*value_of(meters.row(), "ups"), 0);
}

TEST(Metrics, ReadsWhatFairseqSavedAndWritesItAgain) {
  const auto checkpoint =
      compat::Checkpoint::open(btm_test::golden("training/single/checkpoint_1_20.pt"));
  const compat::PickleNode* saved = checkpoint.find_entry("extra_state")->find("metrics");
  ASSERT_NE(saved, nullptr);
  Metrics metrics;
  metrics.load(*saved, "file.pt");
  const LogRow row = metrics["train"].row();
  EXPECT_EQ(value_of(row, "loss"), 11.148);  // 114154.6094 / 10240
  EXPECT_EQ(value_of(row, "wpb"), 512);
  EXPECT_EQ(value_of(row, "gnorm"), 0.804);
  compat::PickleArena arena;
  Metrics again;
  again.load(*metrics.state(arena), "file.pt");
  EXPECT_EQ(value_of(again["train"].row(), "gnorm"), 0.804);
  EXPECT_EQ(value_of(again["train_inner"].row(), "loss"), std::nullopt);
}

TEST(MetersDict, RenamesWhereNothingHasTheNewName) {
  MetersDict meters;
  meters.log_scalar("ppl_0", 2, 1, 10, 3);
  meters.log_scalar("ppl_1", 4, 1, 10, 3);
  meters.rename("ppl_0", "ppl_1");
  meters.rename("ppl_2", "ppl_law");
  EXPECT_EQ(meters.row(), (LogRow{{"ppl_0", 2}, {"ppl_1", 4}}));
  meters.rename("ppl_0", "ppl_law");
  EXPECT_EQ(meters.row(), (LogRow{{"ppl_law", 2}, {"ppl_1", 4}}));
}

TEST(Metrics, RefusesWhatIsNoListOfMeters) {
  compat::PickleArena arena;
  Metrics metrics;
  btm_test::expect_error<compat::FormatError>(
      [&] { metrics.load(*arena.integer(3), "file.pt"); },
      "file.pt[extra_state.metrics]: is the int 3, expected a dict");
  compat::PickleDict dict;
  dict.items.emplace_back(arena.string("train"),
                          arena.make(compat::PickleList{{arena.string("loss")}}));
  btm_test::expect_error<compat::FormatError>([&] { metrics.load(*arena.make(dict), "file.pt"); },
                                              "expected (priority, key, class, state)");
}

}  // namespace
}  // namespace btm
