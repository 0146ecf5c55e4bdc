#include "btm/trainer/lr_schedule.h"

#include <gtest/gtest.h>

#include "compat/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {


/// The rates below were printed by fairseq 0.12.2's schedulers with the same configuration.
void expect_rates(const LrScheduleOptions& options, std::int64_t epoch,
                  const std::vector<std::pair<std::int64_t, double>>& expected) {
  const auto schedule = LrSchedule::make(options);
  schedule->begin_epoch(epoch, 0);
  for (const auto& [updates, lr] : expected)
    EXPECT_NEAR(schedule->lr_at(updates), lr, 1e-12 * std::max(1.0, lr)) << options.lr_scheduler << " after " << updates;
}

LrScheduleOptions named(const std::string& name) {
  LrScheduleOptions options;
  options.lr_scheduler = name;
  options.lr = {1e-3};
  return options;
}

TEST(LrSchedule, PolynomialDecayAsFairseq) {
  LrScheduleOptions options = named("polynomial_decay");
  options.lr = {2e-3};
  options.warmup_updates = 5;
  options.end_learning_rate = 1e-4;
  options.power = 2;
  options.total_num_update = 60;
  expect_rates(options, 1, {{0, 0}, {1, 0.0004}, {5, 0.002}, {6, 0.0019315371900826446}, {30, 0.000665289256198347}, {60, 1e-4}, {70, 1e-4}});
}

TEST(LrSchedule, PolynomialDecayTakesTheListOneEpochEarly) {
  LrScheduleOptions options = named("polynomial_decay");
  options.lr = {2e-3, 1e-3};
  options.max_update = 60;
  expect_rates(options, 1, {{0, 0.001}, {1, 0.0009833333333333332}, {5, 0.0009166666666666666}});
}

TEST(LrSchedule, InverseSqrtAsFairseq) {
  LrScheduleOptions options = named("inverse_sqrt");
  options.warmup_updates = 10;
  options.warmup_init_lr = 1e-5;
  expect_rates(options, 1, {{0, 1e-5}, {1, 0.000109}, {9, 0.000901}, {10, 0.001}, {40, 0.0005}, {1000, 1e-4}});
  options.warmup_updates = -1;
  EXPECT_EQ(warmup_updates_of(options), 4000);
}

TEST(LrSchedule, CosineAsFairseq) {
  LrScheduleOptions options = named("cosine");
  options.warmup_updates = 4;
  options.min_lr = 1e-5;
  options.lr_period_updates = 10;
  options.lr_shrink = 0.5;
  expect_rates(options, 1, {{0, 1e-5}, {1, 0.0002575}, {4, 0.001}, {5, 0.0009757729755661011}, {9, 0.000505}, {14, 0.0005}, {20, 0.00017601829389220054}});
  options.warmup_init_lr = 1e-6;
  options.t_mult = 2;
  expect_rates(options, 1, {{0, 1e-6}, {1, 0.00025075}, {9, 0.000505}, {14, 0.0005}, {20, 0.0003979768499423871}, {50, 0.00016449085305389975}});
}

TEST(LrSchedule, FixedAsFairseq) {
  LrScheduleOptions options = named("fixed");
  options.warmup_updates = 4;
  options.lr = {1e-3, 5e-4};
  options.force_anneal = 3;
  expect_rates(options, 1, {{0, 0.00025}, {1, 0.0005}, {3, 0.001}, {4, 0.001}});
  expect_rates(options, 4, {{0, 1.25e-6}, {3, 5e-6}, {4, 5e-6}});
}

TEST(LrSchedule, RefusesWhatFairseqRefuses) {
  struct Row {
    const char* name;
    void (*change)(LrScheduleOptions&);
    const char* phrase;
  };
  const std::vector<Row> rows{
      {"tri_stage", [](LrScheduleOptions&) {}, "supported: fixed, polynomial_decay, inverse_sqrt, cosine"},
      {"fixed", [](LrScheduleOptions& o) { o.lr.clear(); }, "--lr is an empty list"},
      {"polynomial_decay", [](LrScheduleOptions&) {}, "--total-num-update"},
      {"inverse_sqrt", [](LrScheduleOptions& o) { o.lr = {1, 2}; }, "takes one --lr"},
      {"inverse_sqrt", [](LrScheduleOptions& o) { o.warmup_updates = 0; }, "--warmup-updates"},
      {"cosine", [](LrScheduleOptions& o) { o.min_lr = 1; }, "above --min-lr"},
      {"cosine", [](LrScheduleOptions&) {}, "--lr-period-updates"},
      {"cosine", [](LrScheduleOptions& o) { o.t_mult = 0; }, "--t-mult"},
  };
  for (const Row& row : rows) {
    LrScheduleOptions options = named(row.name);
    row.change(options);
    btm_test::expect_error<compat::UsageError>([&] { LrSchedule::make(options); }, row.phrase);
  }
}

}  // namespace
}  // namespace btm
