#include "btm/ensemble/ensemble_lines.h"

#include <gtest/gtest.h>

#include <limits>

namespace btm {
namespace {

EnsembleReport report() {
  EnsembleReport report;
  report.experts = {"law", "code"};
  report.eval.precision = "bf16";
  report.lines = {{12.5, {0.25, 0.75}, {0.5, 0.5}}, {11, {0, 1}, {0.25, 0.75}}};
  return report;
}

TEST(EnsembleLines, HaveTheReleasesKeysThenTheExperts) {
  EXPECT_EQ(ensemble_lines(report()),
            "{\"ppl\":12.5,\"posterior\":[0.25,0.75],\"exp_avg_posterior\":[0.5,0.5],"
            "\"experts\":[\"law\",\"code\"],\"precision\":\"bf16\"}\n"
            "{\"ppl\":11.0,\"posterior\":[0.0,1.0],\"exp_avg_posterior\":[0.25,0.75],"
            "\"experts\":[\"law\",\"code\"],\"precision\":\"bf16\"}\n");
  EXPECT_EQ(ensemble_lines({}), "");
}

TEST(EnsembleLines, NameTheExpertsThatDiverged) {
  EnsembleReport with = report();
  with.left_out = {"code"};
  with.lines.resize(1);
  EXPECT_TRUE(ensemble_lines(with).ends_with(",\"left_out\":[\"code\"]}\n"));
}

TEST(EnsembleLines, WriteNullForWhatIsNoNumberAndEscapeNames) {
  EnsembleReport odd;
  odd.experts = {"a\n\x1b\xff"};
  odd.lines = {{std::numeric_limits<double>::infinity(), {1}, {1}}};
  EXPECT_EQ(ensemble_lines(odd),
            "{\"ppl\":null,\"posterior\":[1.0],\"exp_avg_posterior\":[1.0],"
            "\"experts\":[\"a\\n\\u001b\xEF\xBF\xBD\"],\"precision\":\"\"}\n");
}

}  // namespace
}  // namespace btm
