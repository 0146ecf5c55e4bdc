#include "btm/evaluator/eval_lm_json.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace btm {
namespace {

TEST(EvalLmJson, HasTheModelTheDataAndEveryNumber) {
  EvalLmOptions options;
  options.path = "a.pt:b.pt";
  options.data.folder = "data";
  options.data.gen_subset = "test";
  EvalLmReport report;
  report.loss_base2 = 5.5;
  report.perplexity = std::numeric_limits<double>::infinity();
  report.tokens = 7;
  report.evaluated_tokens = 6;
  report.skipped_samples = 2;
  report.num_parameters = 125;
  report.precision = "fp32";
  const std::string text = eval_lm_json(options, report);
  EXPECT_TRUE(text.ends_with("}\n"));
  const auto json = nlohmann::ordered_json::parse(text);
  EXPECT_EQ(json.begin().key(), "path");
  EXPECT_EQ(json["path"], "a.pt:b.pt");
  EXPECT_EQ(json["data"], "data");
  EXPECT_EQ(json["gen_subset"], "test");
  EXPECT_EQ(json["loss_base2"], 5.5);
  EXPECT_TRUE(json["ppl"].is_null());
  EXPECT_EQ(json["tokens"], 7);
  EXPECT_EQ(json["evaluated_tokens"], 6);
  EXPECT_EQ(json["skipped_samples"], 2);
  EXPECT_EQ(json["num_parameters"], 125);
  EXPECT_EQ(json["precision"], "fp32");
  EXPECT_EQ(json.size(), 16U);
}

TEST(EvalLmJson, EscapesTheNamesOfFiles) {
  EvalLmOptions options;
  options.path = "a\"\x1b[31m\xff";
  EXPECT_NE(eval_lm_json(options, {}).find(R"("a\"\u001b[31m)"), std::string::npos);
}

}  // namespace
}  // namespace btm
