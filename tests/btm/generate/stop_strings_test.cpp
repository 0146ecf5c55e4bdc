#include "btm/generate/stop_strings.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/support/expect_error.h"

namespace btm {
namespace {

TEST(StopStrings, EndsBeforeTheFirst) {
  StopStrings stops({"END", "\n\n"});
  EXPECT_EQ(stops.add("one "), "one ");
  EXPECT_EQ(stops.add("two\n"), "two") << "the line end may begin a stop string";
  EXPECT_EQ(stops.add("three E"), "\nthree ");
  EXPECT_EQ(stops.add("N"), "");
  EXPECT_FALSE(stops.stopped());
  EXPECT_EQ(stops.add("D and more"), "");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.add("never"), "");
  EXPECT_EQ(stops.rest(), "");
}

TEST(StopStrings, ShowsWhatOnlyBeganOne) {
  StopStrings stops({"aab"});
  EXPECT_EQ(stops.add("aa"), "");
  EXPECT_EQ(stops.add("a"), "a") << "aa can still begin it";
  EXPECT_EQ(stops.add("c"), "aac");
  EXPECT_EQ(stops.add("xa"), "x");
  EXPECT_EQ(stops.rest(), "a");
  EXPECT_EQ(stops.add("aab more"), "");
  EXPECT_TRUE(stops.stopped());
}

TEST(StopStrings, WithoutAnyShowsAll) {
  StopStrings stops;
  EXPECT_EQ(stops.add("all"), "all");
  EXPECT_EQ(stops.rest(), "");
  btm_test::expect_error<std::invalid_argument>([] { StopStrings({""}); }, "one character");
}

}  // namespace
}  // namespace btm
