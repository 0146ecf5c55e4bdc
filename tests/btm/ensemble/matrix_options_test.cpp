#include "btm/ensemble/matrix_options.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;

EvalMatrixOptions two_experts() {
  EvalMatrixOptions options;
  options.models = {{"seed", "seed.pt"}, {"law", "law.pt"}, {"code", "code.pt"}};
  options.experts = {"law", "code"};
  options.ensembles = {EnsembleType::kCachedPrior};
  options.average = true;
  options.baseline = "law";
  return options;
}

TEST(MatrixOptions, TakesWhatMakesSense) {
  check_matrix_options(two_experts());
  EvalMatrixOptions alone;
  alone.models = {{"seed", "seed.pt"}};
  check_matrix_options(alone);
  EXPECT_EQ(row_name(EnsembleType::kUpdatingPrior), "ensemble updating_prior");
}

TEST(MatrixOptions, RefusesWhatContradictsItself) {
  const struct {
    const char* phrase;
    void (*change)(EvalMatrixOptions&);
  } rows[] = {
      {"no model is given", [](auto& o) { o.models.clear(); }},
      {"'=x.pt', expected NAME=CHECKPOINT",
       [](auto& o) {
         o.models[0] = {"", "x.pt"};
       }},
      {"'seed=', expected NAME=CHECKPOINT", [](auto& o) { o.models[0].second.clear(); }},
      {"'law' is given to two models", [](auto& o) { o.models[0].first = "law"; }},
      {"--experts names 'latin', which is no model", [](auto& o) { o.experts[0] = "latin"; }},
      {"--experts names 'code' twice", [](auto& o) { o.experts[0] = "code"; }},
      {"need --experts", [](auto& o) { o.experts.clear(); }},
      {"need --experts", [](auto& o) { o.experts.clear(), o.ensembles.clear(); }},
      {"named 'average'", [](auto& o) { o.models[0].first = "average"; }},
      {"named 'ensemble cached_prior'",
       [](auto& o) { o.models[0].first = "ensemble cached_prior"; }},
      {"--domains names 'd' twice",
       [](auto& o) {
         o.domains = {"d", "e", "d"};
       }},
      {"at least 1", [](auto& o) { o.resamples = 0; }},
      {"at least 1", [](auto& o) { o.block_tokens = 0; }},
      {"'a\\x1b[31m'", [](auto& o) { o.experts[0] = "a\x1b[31m"; }},
  };
  for (const auto& row : rows) {
    EvalMatrixOptions options = two_experts();
    row.change(options);
    expect_error<compat::UsageError>([&] { check_matrix_options(options); }, row.phrase);
  }
}

TEST(LeaveOut, TakesTheExpertFromModelsExpertsAndBaseline) {
  EvalMatrixOptions options = two_experts();
  leave_out("law", options);
  EXPECT_EQ(options.models.size(), 2U);
  EXPECT_EQ(options.experts, std::vector<std::string>{"code"});
  EXPECT_EQ(options.baseline, "");
  EXPECT_TRUE(options.average);
  EXPECT_EQ(options.ensembles.size(), 1U);
}

TEST(LeaveOut, EndsTheMixturesWithTheLastExpert) {
  EvalMatrixOptions options = two_experts();
  leave_out("law", options);
  leave_out("code", options);
  EXPECT_TRUE(options.ensembles.empty());
  EXPECT_FALSE(options.average);
  EXPECT_EQ(options.models.size(), 1U);
  expect_error<std::runtime_error>([&] { leave_out("seed", options); }, "every model diverged");
}

TEST(LeaveOut, TakesTheAverageAlone) {
  EvalMatrixOptions options = two_experts();
  leave_out("average", options);
  EXPECT_FALSE(options.average);
  EXPECT_EQ(options.models.size(), 3U);
  EXPECT_EQ(options.experts.size(), 2U);
}

}  // namespace
}  // namespace btm
