#include "btm/trainer/due.h"

#include <gtest/gtest.h>

#include <limits>

namespace btm {
namespace {

struct DueCase {
  const char* what;
  std::int64_t epoch;
  bool end_of_epoch;
  std::int64_t updates;
  bool stop, validate, save;
};

void expect(const TrainOptions& options, const std::vector<DueCase>& cases) {
  for (const DueCase& c : cases) {
    const Due due = due_after_update(options, c.epoch, c.end_of_epoch, c.updates, c.stop);
    EXPECT_EQ(due.validate, c.validate) << c.what;
    EXPECT_EQ(due.save, c.save) << c.what;
  }
}

TEST(DueAfterUpdate, FollowsIntervalsOfEpochsAndUpdates) {
  TrainOptions options;
  options.checkpoint.save_interval = 2;
  options.checkpoint.save_interval_updates = 10;
  options.dataset.validate_interval = 3;
  options.dataset.validate_interval_updates = 4;
  expect(options, {
                      {"nothing", 1, false, 5, false, false, false},
                      {"validation by updates", 1, false, 8, false, true, false},
                      {"a save by updates also validates", 1, false, 10, false, true, true},
                      {"no update yet", 1, false, 0, false, false, false},
                      {"end of an epoch that saves alone", 2, true, 7, false, false, true},
                      {"end of an epoch that validates alone", 3, true, 7, false, true, false},
                      {"the run's end", 1, false, 7, true, true, true},
                  });
}

TEST(DueAfterUpdate, WaitsForValidateAfterUpdates) {
  TrainOptions options;
  options.checkpoint.save_interval_updates = 10;
  options.dataset.validate_after_updates = 20;
  expect(options, {
                      {"too early", 1, false, 10, false, false, false},
                      {"an epoch saves", 1, true, 10, false, false, true},
                      {"the run's end saves", 1, false, 10, true, false, true},
                      {"late enough", 1, false, 20, false, true, true},
                  });
  options.dataset.disable_validation = true;
  expect(options, {{"validation is off", 1, false, 20, false, false, true}});
}

TEST(EarlyStop, CountsValidationsThatAreNotBetter) {
  CheckpointOptions options;
  options.patience = 2;
  EarlyStop stop(options);
  EXPECT_FALSE(stop.note(5.0));
  EXPECT_FALSE(stop.note(std::nullopt));
  EXPECT_FALSE(stop.note(5.0));  // equal is not better: 1
  EXPECT_FALSE(stop.note(4.0));
  EXPECT_FALSE(stop.note(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_TRUE(stop.note(-std::numeric_limits<double>::infinity()));

  options.maximize_best_checkpoint_metric = true;
  EarlyStop rising(options);
  EXPECT_FALSE(rising.note(1.0));
  EXPECT_FALSE(rising.note(2.0));
  EXPECT_FALSE(rising.note(1.5));
  EXPECT_TRUE(rising.note(2.0));
}

TEST(EarlyStop, NeverEndsARunWithoutPatience) {
  CheckpointOptions options;
  options.patience = -1;
  EarlyStop stop(options);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(stop.note(1.0));
}

}  // namespace
}  // namespace btm
