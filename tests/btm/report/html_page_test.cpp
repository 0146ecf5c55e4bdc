#include "btm/report/html_page.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/files.h"

namespace btm {
namespace {

TEST(HtmlPage, IsOneFileThatFetchesNothing) {
  HtmlPage page("Title <&>");
  page.add_heading("Part");
  page.add_paragraph("a < b");
  page.add_chart(LineChart{"x", "y", {{"one", {0, 1}, {0, 1}}, {"two", {0, 1}, {1, 0}}}},
                 "caption");
  const btm_test::TempDir dir;
  page.write(dir / "report.html");
  const std::string html = btm_test::read_file(dir / "report.html");
  EXPECT_NE(html.find("<title>Title &lt;&amp;&gt;</title>"), std::string::npos);
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
  for (const char* outside : {"http:", "https:", "src=", "href=", "url(", "@import", "<script"})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
}

TEST(HtmlPage, DrawsEveryChartForWideAndNarrowWindows) {
  HtmlPage page("t");
  page.add_chart(GroupedBars{"ppl", {"g"}, {{"only", {1}, {}, {}}}});
  const std::string html = page.html();
  EXPECT_NE(html.find("<div class=\"wide\"><svg viewBox=\"0 0 760"), std::string::npos);
  EXPECT_NE(html.find("<div class=\"narrow\"><svg viewBox=\"0 0 350"), std::string::npos);
  EXPECT_EQ(html.find("<ul class=\"legend\">"), std::string::npos)
      << "a legend of one colour says nothing";
}

TEST(HtmlPage, ColoursPartsOfATextAsCharts) {
  HtmlPage page("t");
  page.add_chart(LineChart{"x", "y", {{"seed", {1}, {1}}, {"law", {1}, {2}}}, false, false});
  page.add_text({{"A <b>", "law", "law 90%"}, {" word", "seed", {}}});
  const std::string html = page.html();
  EXPECT_NE(
      html.find("<path class=\"line " + colour_class(1) + "\" d=\"M0 5.5H34\"/></svg>law</li>"),
      std::string::npos)
      << html;
  EXPECT_NE(
      html.find("<span class=\"" + colour_class(1) + "\" title=\"law 90%\">A &lt;b&gt;</span>"),
      std::string::npos);
  EXPECT_NE(html.find("<span class=\"" + colour_class(0) + "\" title=\"\"> word</span>"),
            std::string::npos);
}

/// A legend draws a series with the element and the class that its chart draws it with, so that no
/// rule of style can make them differ.
TEST(HtmlPage, GivesTheModelsOfADemoColoursOfTheirOwn) {
  const std::string html = HtmlPage("t").html();
  for (int i = 0; i < 10; ++i) {  // seed, dense, average, three ensembles, four experts
    const std::string n = std::to_string(i);
    EXPECT_EQ(colour_class(static_cast<std::size_t>(i)).find("s" + n + " "), 0U) << n;
    EXPECT_NE(html.find(".s" + n + "{--c:var(--c" + n + ")}"), std::string::npos) << n;
    std::size_t times = 0;
    for (std::size_t at = html.find("--c" + n + ":"); at != std::string::npos;
         at = html.find("--c" + n + ":", at + 1))
      ++times;
    EXPECT_EQ(times, 3U) << n << ": light, dark and paper";
  }
  EXPECT_NE(colour_class(10).find("again"), std::string::npos);
}

TEST(HtmlPage, ShowsInTheLegendWhatIsInTheChart) {
  std::vector<Series> lines;
  GroupedBars bars{"y", {"g"}, {}};
  StackedAreas areas{"x", "y", {1, 2}, {}};
  for (int i = 0; i < 10; ++i) {
    const std::string name = "model" + std::to_string(i);
    lines.push_back({name, {1, 2}, {1, 2}});
    bars.bars.push_back({name, {1}, {}, {}});
    areas.layers.push_back({name, {0.1, 0.1}});
  }
  HtmlPage page("t");
  page.add_chart(LineChart{"x", "y", lines, false, false});
  page.add_chart(bars);
  page.add_chart(areas);
  const std::string html = page.html();
  for (std::size_t i = 0; i < 10; ++i) {
    for (const char* const element :
         {"path class=\"line ", "rect class=\"bar ", "path class=\"area "}) {
      const std::string drawn = "<" + std::string(element) + colour_class(i) + "\"";
      std::size_t times = 0;
      for (std::size_t at = html.find(drawn); at != std::string::npos;
           at = html.find(drawn, at + 1))
        ++times;
      EXPECT_EQ(times, 4U) << drawn << ": a legend and three widths";
    }
  }
}

TEST(HtmlPage, NumbersTheLegendOfBarsAlone) {
  HtmlPage page("t");
  page.add_chart(GroupedBars{"ppl", {"g"}, {{"one", {1}, {}, {}}, {"two", {2}, {}, {}}}});
  page.add_chart(LineChart{"x", "y", {{"two", {1}, {1}}, {"three", {1}, {2}}}, false, false});
  const std::string html = page.html();
  EXPECT_NE(html.find("<ul class=\"legend\">"), std::string::npos);
  EXPECT_NE(html.find("<b>2</b> two</li>"), std::string::npos);
  EXPECT_NE(html.find("</svg>two</li>"), std::string::npos);
}

TEST(HeatMap, ShadesEachColumnFromItsBestToItsWorst) {
  HtmlPage page("t");
  page.add_heat_map(HeatMap{"model",
                            {"d"},
                            {"best", "middle", "worst", "none"},
                            {{10}, {100}, {1000}, {std::numeric_limits<double>::quiet_NaN()}},
                            {},
                            2});
  const std::string html = page.html();
  EXPECT_NE(html.find("<td style=\"--v:1.000\" class=\"best\">10.00</td>"), std::string::npos)
      << html;
  EXPECT_NE(html.find("<td style=\"--v:0.500\">100.00</td>"), std::string::npos) << html;
  EXPECT_NE(html.find("<td style=\"--v:0.000\">1000.00</td>"), std::string::npos) << html;
  EXPECT_NE(html.find("<td style=\"--v:0.000\">–</td>"), std::string::npos) << html;
}

TEST(HeatMap, ShadesEqualValuesAlike) {
  HtmlPage page("t");
  page.add_heat_map(HeatMap{"model", {"d"}, {"a", "b"}, {{5}, {5}}, {}, 1});
  const std::string html = page.html();
  const std::string cell = "<td style=\"--v:1.000\" class=\"best\">5.0</td>";
  EXPECT_NE(html.find(cell, html.find(cell) + 1), std::string::npos) << html;
}

}  // namespace
}  // namespace btm
