#include "btm/run/train_history.h"

#include <gtest/gtest.h>

namespace btm {
namespace {

TEST(TrainHistory, ReadsFairseqsJsonLines) {
  const TrainHistory history = parse_train_log(
      "$ btm train\n"
      "2026-01-01 00:00:00 | INFO | train_inner | {\"epoch\": 1, \"loss\": \"9.5\", "
      "\"num_updates\": \"10\"}\n"
      "2026-01-01 00:00:01 | INFO | train_inner | {\"epoch\": 1, \"loss\": 8.25, \"num_updates\": "
      "20}\n"
      "2026-01-01 00:00:02 | INFO | valid | {\"epoch\": 1, \"valid_loss\": \"9\", \"num_updates\": "
      "\"20\"}\n");
  EXPECT_EQ(history.updates, (std::vector<double>{10, 20}));
  EXPECT_EQ(history.loss, (std::vector<double>{9.5, 8.25}));
}

TEST(TrainHistory, LetsAResumedTrainingsLinesWin) {
  const TrainHistory history = parse_train_log(
      "{\"loss\": \"5\", \"num_updates\": \"20\"}\n{\"loss\": \"4\", \"num_updates\": "
      "\"10\"}\n{\"loss\": \"3\", \"num_updates\": \"20\"}\n");
  EXPECT_EQ(history.updates, (std::vector<double>{10, 20}));
  EXPECT_EQ(history.loss, (std::vector<double>{4, 3}));
}

TEST(TrainHistory, PassesOverWhatIsNoRow) {
  for (const char* line : {"{", "{}", "{\"loss\": \"nan\", \"num_updates\": \"1\"}",
                           "{\"loss\": [], \"num_updates\": 1}",
                           "{\"loss\": \"1x\", \"num_updates\": \"1\"}", "loss 3", "\xFF{\xFF"})
    EXPECT_TRUE(parse_train_log(line).updates.empty()) << line;
  EXPECT_TRUE(read_train_log("/nonexistent/log").updates.empty());
}

}  // namespace
}  // namespace btm
