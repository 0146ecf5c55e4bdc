#include "compat/program/reporter.h"

#include <gtest/gtest.h>

namespace {

using compat::LogOptions;
using compat::Reporter;

struct Said {
  std::string out, err;
};

Said said_with(const LogOptions& options, bool prints) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  {
    Reporter reporter("btm x", "x", options, prints);
    reporter.progress(1, 4);
    reporter.progress(2, 4, [] { return compat::ProgressBar::Stats{{"ppl", "3"}}; });
    reporter.warn("odd");
    reporter.result("found");
    reporter.end_progress();
  }
  return {testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

TEST(Reporter, KeepsResultsApartFromWhatHappensOnTheWay) {
  const LogOptions each_second{.log_format = "simple", .log_interval = 2};
  Said said = said_with(each_second, true);
  EXPECT_EQ(said.out, "found\n");
  EXPECT_EQ(said.err, "x: 2 / 4 ppl=3\nbtm x: warning: odd\n");
  said = said_with({.log_format = "simple", .log_interval = 2, .quiet = true}, true);
  EXPECT_EQ(said.out, "found\n");
  EXPECT_EQ(said.err, "btm x: warning: odd\n") << "quiet is about progress";
  said = said_with(each_second, false);
  EXPECT_EQ(said.out + said.err, "");
}

}  // namespace
