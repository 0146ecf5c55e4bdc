#include "btm/report/matrix_page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace btm {
namespace {

using nlohmann::json;

json cell(double ppl) {
  return {{"ppl", ppl},        {"ppl_low", ppl - 1},       {"ppl_high", ppl + 1},
          {"loss_base2", 3.5}, {"bits_per_byte", nullptr}, {"tokens", 100},
          {"bytes", 0},        {"ratio", ppl / 20},        {"ratio_low", 0.9},
          {"ratio_high", 1.1}};
}

json row(const std::string& name, const std::string& kind, double ppl) {
  return {{"name", name}, {"kind", kind}, {"cells", {{"d", cell(ppl)}}}, {"mean", cell(ppl)}};
}

json matrix_json() {
  return {{"domains", {"d"}},
          {"experts", {"a"}},
          {"baseline", "dense"},
          {"rows",
           {row("dense", "model", 20), row("a", "model", 15), row("average", "model", 18),
            row("ensemble x", "ensemble", 14)}},
          {"posteriors", {{"d", {{"cached_prior", {1.0}}, {"batches", {{1.0}, {1.0}}}}}}}};
}

EvalMatrix read(const json& text) { return matrix_of_text(text.dump(), "matrix.json"); }

EvalMatrix matrix() { return read(matrix_json()); }

TEST(MatrixPage, StarsTheBestOfEachColumn) {
  EXPECT_EQ(to_text(perplexity_table(matrix())),
            "model            d    mean  95% interval  bits/byte  to dense\n"
            "dense       20.00   20.00    19.00–21.00          –     1.000\n"
            "a           15.00   15.00    14.00–16.00          –     0.750\n"
            "average     18.00   18.00    17.00–19.00          –     0.900\n"
            "ensemble x  14.00*  14.00*   13.00–15.00          –     0.700\n");
}

TEST(MatrixPage, ShowsSizesAndCostsWhereTheyAreKnown) {
  EvalMatrix sized = matrix();
  HtmlPage bare("t");
  add_matrix(bare, sized);
  EXPECT_EQ(bare.html().find("Size"), std::string::npos);
  for (MatrixRow& row : sized.rows) row.parameters = row.active = 868700;
  sized.rows[1].parameters = 2056000;
  const double nan = std::nan("");
  const std::vector<double> costs{4, 6, nan, 4};
  EXPECT_EQ(to_text(size_table(sized, costs)),
            "model       perplexity  to dense  parameters  used by a token  training cost\n"
            "dense            20.00     1.000      868.7k           868.7k          1.000\n"
            "a                15.00     0.750      2.056M           868.7k          1.500\n"
            "average          18.00     0.900      868.7k           868.7k              –\n"
            "ensemble x       14.00     0.700      868.7k           868.7k          1.000\n");
  EXPECT_NE(to_text(perplexity_table(sized)).find("parameters  used by a token\n"),
            std::string::npos);
  HtmlPage page("t");
  add_matrix(page, sized, costs);
  EXPECT_NE(page.html().find("Size and cost"), std::string::npos);
}

TEST(MatrixPage, MarksWhatIsInfiniteAndSaysWhyThereIsNoInterval) {
  json one = matrix_json();
  one["fewest_blocks"] = 10;
  one["block_tokens"] = 512;
  for (json& each : one["rows"]) each["cells"]["d"]["blocks"] = 10;
  EXPECT_EQ(interval_note(read(one)), "");
  for (json& each : one["rows"]) {
    each["cells"]["d"]["blocks"] = 3;
    for (json* place : {&each["cells"]["d"], &each["mean"]})
      for (const char* const key : {"ppl_low", "ppl_high", "ratio_low", "ratio_high"})
        (*place)[key] = nullptr;
  }
  EXPECT_EQ(interval_note(read(one)),
            "An interval needs 10 blocks of 512 or more tokens to draw from. There is none where a "
            "domain has fewer: d needs about 3,584 more tokens. ");
  one["rows"][0]["cells"]["d"]["ppl"] = nullptr;
  one["rows"][0]["cells"]["d"]["infinite"] = true;
  const std::string text = to_text(perplexity_table(read(one)));
  EXPECT_NE(text.find("dense         inf"), std::string::npos) << text;
  EXPECT_NE(text.find("14.00*             –"), std::string::npos) << text;
  HtmlPage page("t");
  add_matrix(page, read(one));
}

TEST(MatrixPage, SaysThePrecisionWhereItIsKnown) {
  json text = matrix_json();
  const auto page_of = [](const json& of) {
    HtmlPage page("t");
    add_matrix(page, read(of));
    return page.html();
  };
  EXPECT_EQ(page_of(text).find("Computed in"), std::string::npos);
  text["precision"] = "fp32 with products in bf16x3";
  EXPECT_NE(page_of(text).find("Computed in fp32 with products in bf16x3."), std::string::npos);
}

TEST(MatrixPage, ShowsBarsOfWhatIsNoExpert) {
  HtmlPage page("t");
  add_matrix(page, matrix());
  const std::string html = page.html();
  for (const char* name : {"dense, d: 20", "average, d: 18", "ensemble x, d: 14"})
    EXPECT_NE(html.find(name), std::string::npos) << name;
  EXPECT_EQ(html.find("a, d: 15"), std::string::npos);
  EXPECT_EQ(html.find("Bits per byte"), std::string::npos) << "not known";
  EXPECT_NE(html.find("Posterior over the batches"), std::string::npos);
}

}  // namespace
}  // namespace btm
