#include "btm/report/charts.h"

#include <gtest/gtest.h>

#include <limits>

namespace btm {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

std::string path_of(const std::string& svg, const std::string& css_class) {
  const std::size_t at = svg.find("class=\"" + css_class);
  const std::size_t from = svg.find("d=\"", at) + 3;
  return svg.substr(from, svg.find('"', from) - from);
}

TEST(LineChart, DrawsOneLineForEachSeries) {
  const std::string svg = draw(
      LineChart{"update", "loss", {{"a", {0, 1, 2}, {3, 2, 1}}, {"b <x>", {0, 2}, {1, 2}}}}, 700);
  EXPECT_EQ(count(svg, "class=\"line s"), 2u);
  EXPECT_NE(svg.find("<title>b &lt;x&gt;</title>"), std::string::npos);
  EXPECT_EQ(count(path_of(svg, "line s0"), "M"), 1u);
  EXPECT_EQ(count(path_of(svg, "line s0"), "L"), 2u);
}

TEST(LineChart, InterruptsTheLineWhereAValueIsMissing) {
  const std::string svg =
      draw(LineChart{"x", "y", {{"a", {0, 1, 2, 3, 4}, {1, 2, kNan, 2, 1}}}}, 700);
  EXPECT_EQ(count(path_of(svg, "line s0"), "M"), 2u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(LineChart, LeavesOutWhatALogAxisCannotShow) {
  LineChart chart{"x", "y", {{"a", {1, 2, 3}, {0, 10, 100}}}};
  chart.log_y = true;
  const std::string svg = draw(chart, 700);
  EXPECT_EQ(count(path_of(svg, "line s0"), "L"), 1u);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(LineChart, DrawsManyPointsWithFewAndKeepsExtremes) {
  Series series{"a", {}, {}};
  for (int i = 0; i < 100000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i == 51234 ? 100 : 1);
  }
  const std::string svg = draw(LineChart{"x", "y", {series}}, 700);
  EXPECT_LT(svg.size(), 60000u);
  // The spike reaches the top of the plot, 30 pixels below the drawing's edge.
  EXPECT_NE(path_of(svg, "line s0").find(" 30.0"), std::string::npos);
}

TEST(LineChart, SaysThatThereIsNoData) {
  EXPECT_NE(draw(LineChart{"x", "y", {}}, 300).find("no data"), std::string::npos);
  EXPECT_NE(draw(LineChart{"x", "y", {{"a", {1}, {kNan}}}}, 300).find("no data"),
            std::string::npos);
}

TEST(StackedAreas, PutsEachLayerOnTheOneBefore) {
  const std::string svg =
      draw(StackedAreas{"batch", "share", {1, 2}, {{"a", {0.25, 0.5}}, {"b", {0.75, 0.5}}}}, 700);
  // The top of the plot is pixel 30 and the bottom 350 - 46 = 304, so 0.25 lies at 235.5 and 0.5
  // at 167.
  EXPECT_NE(path_of(svg, "area s0").find(" 235.5L"), std::string::npos) << path_of(svg, "area s0");
  EXPECT_NE(path_of(svg, "area s1").find(" 30.0L"), std::string::npos) << path_of(svg, "area s1");
  EXPECT_NE(path_of(svg, "area s1").find(" 235.5Z"), std::string::npos) << path_of(svg, "area s1");
}

TEST(GroupedBars, DrawsABarForEachFiniteValue) {
  const std::string svg = draw(
      GroupedBars{
          "ppl", {"x", "y"}, {{"a", {1, 2}, {}, {}}, {"b", {3, kNan}, {2, kNan}, {4, kNan}}}},
      700);
  EXPECT_EQ(count(svg, "class=\"bar "), 3u);
  EXPECT_EQ(count(svg, "class=\"interval\""), 1u);
  EXPECT_NE(svg.find("<title>b, x: 3 (2 to 4)</title>"), std::string::npos);
}

TEST(Charts, NeverReachOutside) {
  for (const int width : {350, 760}) {
    const std::string svg =
        draw(GroupedBars{"ppl",
                         {"a long name of a domain", "another long name of a domain"},
                         {{"a", {1, 2}, {}, {}}}},
             width);
    EXPECT_EQ(svg.find("http"), std::string::npos);
    EXPECT_EQ(svg.find("<script"), std::string::npos);
    EXPECT_NE(svg.find("viewBox=\"0 0 " + std::to_string(width)), std::string::npos);
  }
}

}  // namespace
}  // namespace btm
