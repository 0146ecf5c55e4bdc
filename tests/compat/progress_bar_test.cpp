#include "compat/progress_bar.h"

#include <gtest/gtest.h>

namespace compat {
namespace {

using Lines = std::vector<std::string>;

/// The lines of ten steps. Tests have no terminal on stderr, where the bar would go.
Lines lines_of(const std::string& format, std::int64_t interval) {
  Lines lines;
  ProgressBar bar("run", format, interval, false, [&](const std::string& line) { lines.push_back(line); });
  for (std::int64_t step = 1; step <= 10; ++step)
    bar.update(step, 10, [] { return ProgressBar::Stats{{"loss", "1.5"}, {"ppl", "2.8"}}; });
  return lines;
}

TEST(ProgressBar, PrintsPlainLinesEveryInterval) {
  EXPECT_EQ(lines_of("simple", 4), (Lines{"run: 4 / 10 loss=1.5, ppl=2.8", "run: 8 / 10 loss=1.5, ppl=2.8"}));
}

TEST(ProgressBar, PrintsJson) { EXPECT_EQ(lines_of("json", 10), (Lines{R"({"done":10,"total":10,"loss":"1.5","ppl":"2.8"})"})); }

TEST(ProgressBar, IsSilentWhenAsked) { EXPECT_TRUE(lines_of("none", 1).empty()); }

TEST(ProgressBar, AsksForNumbersOnlyToShowThem) {
  int asked = 0;
  ProgressBar bar("run", "simple", 100, false, [](const std::string&) {});
  for (std::int64_t step = 1; step <= 99; ++step) bar.update(step, 99, [&] { return ++asked, ProgressBar::Stats{}; });
  EXPECT_EQ(asked, 0);
}

}  // namespace
}  // namespace compat
