#include "btm/ensemble/average_loss.h"

#include <gtest/gtest.h>

#include <numbers>

#include "btm/evaluator/eval_lm.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::golden;

std::vector<compat::NamedModel> experts() {
  std::vector<compat::NamedModel> models;
  for (const char* const name : {"fortunes", "jargon", "perl", "politics"})
    models.push_back(
        {name, golden("checkpoints") / ("elm_" + std::string(name)) / "checkpoint_last.pt"});
  return models;
}

AverageDataOptions data_of(const std::string& folder) {
  AverageDataOptions options;
  options.folder = golden(folder).string();
  options.batching.tokens_per_sample = 128;
  options.batching.max_samples = 2;
  options.machine.cpu = true;
  return options;
}

void ignore(const std::string&) {}

/// The loss of a model of golden data, in nats per token.
double loss_of(const std::string& model, const std::string& domain, const std::string& split) {
  EvalLmOptions options;
  options.path = golden(model).string();
  options.data.folder = golden("data-bin/" + domain).string();
  options.data.gen_subset = split + "_" + domain;
  options.data.batching = data_of("data-bin").batching;
  options.machine.cpu = true;
  return eval_lm(options).loss_base2 * std::numbers::ln2;
}

TEST(AverageLoss, IsTheLossOfTheMergedModel) {
  const std::string merged = "checkpoints/average_uniform4/checkpoint_last.pt";
  AverageDataOptions options = data_of("data-bin");
  options.domains = {"perl", "politics"};
  const AverageLoss loss(experts(), options, ignore);
  EXPECT_EQ(loss.domains(), options.domains);
  const std::vector<std::vector<double>> uniform{std::vector<double>(4, 0.25)};
  const AverageLosses tuning = loss.tuning(uniform), held_out = loss.held_out(uniform);
  // Averages in another order of additions: 1e-6 of the loss.
  EXPECT_NEAR(tuning.domains[0], loss_of(merged, "perl", "valid"), 1e-5);
  EXPECT_NEAR(tuning.domains[1], loss_of(merged, "politics", "valid"), 1e-5);
  EXPECT_NEAR(held_out.domains[1], loss_of(merged, "politics", "test"), 1e-5);
  EXPECT_NEAR(tuning.mean, (tuning.domains[0] + tuning.domains[1]) / 2, 1e-12);
  EXPECT_EQ(loss.tuning({uniform[0], uniform[0]}).mean, tuning.mean);
  EXPECT_NEAR(loss.held_out({{0, 0, 1, 0}}).domains[0],
              loss_of("checkpoints/elm_perl/checkpoint_last.pt", "perl", "test"), 1e-5);
}

TEST(AverageLoss, TakesADataBinWithoutDomains) {
  const AverageLoss loss(experts(), data_of("data-bin/perl"), ignore);
  EXPECT_EQ(loss.domains(), std::vector<std::string>{"perl"});
  EXPECT_NEAR(loss.tuning({{0, 0, 1, 0}}).mean,
              loss_of("checkpoints/elm_perl/checkpoint_last.pt", "perl", "valid"), 1e-5);
}

TEST(AverageLoss, SaysWhatIsMissing) {
  AverageDataOptions options = data_of("data-bin");
  options.tuning = "dev";
  btm_test::expect_error<compat::IoError>([&] { AverageLoss(experts(), options, ignore); },
                                          "no domain has both splits, 'dev' (--tune-subset)");
  options.domains = {"perl"};
  btm_test::expect_error<compat::IoError>([&] { AverageLoss(experts(), options, ignore); },
                                          "--tune-subset");
  options = data_of("no-data");
  btm_test::expect_error<compat::IoError>([&] { AverageLoss(experts(), options, ignore); },
                                          "dict.txt");
}

}  // namespace
}  // namespace btm
