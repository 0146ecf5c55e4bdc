#include "btm/report/table.h"

#include <gtest/gtest.h>

#include <limits>

namespace btm {
namespace {

const Table kPerplexities{{{"model"}, {"ppl", true}}, {{"seed", "120.00"}, {"elm_a", "9.50"}}};

TEST(Table, AlignsNumbersToTheRightInText) {
  EXPECT_EQ(to_text(kPerplexities), "model     ppl\nseed   120.00\nelm_a    9.50\n");
}

TEST(Table, CountsCharactersNotBytes) {
  const Table table{{{"name"}, {"n", true}}, {{"é", "1"}, {"ab", "–"}}};
  EXPECT_EQ(to_text(table), "name  n\né     1\nab    –\n");
}

TEST(Table, ContinuesInFurtherTablesWhereTheTerminalIsNarrow) {
  const Table table{{{"name"}, {"one", true}, {"two", true}, {"three", true}},
                    {{"seed", "1", "2", "3"}}};
  EXPECT_EQ(to_text(table, 23), "name  one  two  three\nseed    1    2      3\n");
  EXPECT_EQ(to_text(table, 20), "name  one  two\nseed    1    2\n\nname  three\nseed      3\n");
  EXPECT_EQ(to_text(table, 1),
            "name  one\nseed    1\n\nname  two\nseed    2\n\nname  three\nseed      3\n");
  EXPECT_EQ(to_text({{{"name"}}, {{"seed"}}}, 1), "name\nseed\n");
  EXPECT_EQ(to_text({}, 10), "");
}

TEST(Table, QuotesCsvFieldsThatNeedIt) {
  const Table table{{{"a,b"}, {"c"}}, {{"say \"x\"", "two\nlines"}, {"plain", ""}}};
  EXPECT_EQ(to_csv(table), "\"a,b\",c\n\"say \"\"x\"\"\",\"two\nlines\"\nplain,\n");
}

TEST(Table, EscapesNamesInHtml) {
  const Table table{{{"<b>"}, {"n", true}}, {{"a&b", "1"}}};
  const std::string html = to_html(table);
  EXPECT_NE(html.find("<th scope=\"col\">&lt;b&gt;</th>"), std::string::npos) << html;
  EXPECT_NE(html.find("<th scope=\"row\">a&amp;b</th><td class=\"number\">1</td>"),
            std::string::npos)
      << html;
}

TEST(HtmlEscaped, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(html_escaped("a\xFF\"'"), "a\xEF\xBF\xBD&quot;&#39;");
}

TEST(Numbers, AreShortOnAxes) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.25), "0.25");
  EXPECT_EQ(short_number(9999), "9999");
  EXPECT_EQ(short_number(12000), "12k");
  EXPECT_EQ(short_number(3.5e6), "3.5M");
}

TEST(Numbers, GroupDigits) {}

TEST(Numbers, AreADashWhenNotFinite) {
  EXPECT_EQ(fixed(std::numeric_limits<double>::quiet_NaN(), 2), "–");
  EXPECT_EQ(fixed(1.005, 1), "1.0");
}

TEST(Numbers, SayDurationsInTheirUnit) {
  EXPECT_EQ(duration_text(0.25), "250 ms");
  EXPECT_EQ(duration_text(12.34), "12.3 s");
  EXPECT_EQ(duration_text(245), "4 min 05 s");
  EXPECT_EQ(duration_text(7800), "2 h 10 min");
}

}  // namespace
}  // namespace btm
