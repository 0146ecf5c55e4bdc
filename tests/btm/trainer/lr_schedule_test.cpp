#include "btm/trainer/lr_schedule.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

/// fairseq 0.12.2's schedulers printed the rates below for the same configuration.
void expect_rates(const LrScheduleOptions& options, std::int64_t epoch,
                  const std::vector<std::pair<std::int64_t, double>>& expected) {
  const auto schedule = LrSchedule::make(options);
  schedule->begin_epoch(epoch, 0);
  for (const auto& [updates, lr] : expected)
    EXPECT_NEAR(schedule->lr_at(updates), lr, 1e-12 * std::max(1.0, lr))
        << options.lr_scheduler << " after " << updates;
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
  expect_rates(options, 1,
               {{0, 0},
                {1, 0.0004},
                {5, 0.002},
                {6, 0.0019315371900826446},
                {30, 0.000665289256198347},
                {60, 1e-4},
                {70, 1e-4}});
}

TEST(LrSchedule, PolynomialDecayTakesTheListOneEpochEarly) {
  LrScheduleOptions options = named("polynomial_decay");
  options.lr = {2e-3, 1e-3};
  options.max_update = 60;
  expect_rates(options, 1, {{0, 0.001}, {1, 0.0009833333333333332}, {5, 0.0009166666666666666}});
}

/// The rates after updates of epochs of four, from update `start` on. Calls the schedule as the
/// trainer does.
std::vector<double> rates_from(const LrScheduleOptions& options, std::int64_t start) {
  const auto schedule = LrSchedule::make(options);
  double lr = schedule->lr_at(start);
  std::vector<double> rates;
  for (std::int64_t updates = start; updates < 12;) {
    if (updates == start || updates % 4 == 0) schedule->begin_epoch(updates / 4 + 1, lr);
    lr = schedule->lr_at(++updates);
    rates.push_back(lr);
  }
  return rates;
}

/// fairseq 0.12.2's scheduler, called in the order of its trainer. After a resume its annealed
/// rates differ from those of a run without interruption; those of a list are equal.
TEST(LrSchedule, PolynomialDecayGoesOnAsFairseqDoes) {
  struct Row {
    std::vector<double> lr;
    std::int64_t force_anneal, start;
    std::vector<double> expected;
  };
  const std::vector<Row> rows{
      {{2e-3},
       2,
       6,
       {0.0011234567901234568, 0.0010370370370370373, 0.0006337448559670784, 0.0005761316872427985,
        0.0005185185185185186, 0.0004609053497942388}},
      {{2e-3},
       2,
       8,
       {0.000814814814814815, 0.0007407407407407409, 0.0006666666666666668, 0.0005925925925925926}},
      {{2e-3, 1e-3, 5e-4},
       0,
       6,
       {0.0003611111111111111, 0.0003333333333333334, 0.0003055555555555556, 0.0002777777777777778,
        0.00025, 0.0002222222222222222}},
      {{2e-3, 1e-3, 5e-4},
       3,
       6,
       {0.0003611111111111111, 0.0003333333333333334, 0.00020370370370370375,
        0.00018518518518518523, 0.0001666666666666667, 0.00014814814814814815}},
      {{2e-3, 1e-3, 5e-4},
       3,
       8,
       {0.000814814814814815, 0.0007407407407407409, 0.0006666666666666668, 0.0005925925925925926}},
      {{2e-3},
       2,
       0,
       {0.001, 0.002, 0.001888888888888889, 0.0017777777777777776, 0.0014814814814814814,
        0.001382716049382716, 0.0012839506172839506, 0.0011851851851851852, 0.0007242798353909465,
        0.0006584362139917696, 0.0005925925925925926, 0.0005267489711934156}}};
  for (const Row& row : rows) {
    LrScheduleOptions options = named("polynomial_decay");
    options.lr = row.lr;
    options.force_anneal = row.force_anneal;
    options.warmup_updates = 2;
    options.total_num_update = 20;
    const std::vector<double> found = rates_from(options, row.start);
    ASSERT_EQ(found.size(), row.expected.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], row.expected[i], 1e-12) << row.start << " + " << i;
  }
}

TEST(LrSchedule, InverseSqrtAsFairseq) {
  LrScheduleOptions options = named("inverse_sqrt");
  options.warmup_updates = 10;
  options.warmup_init_lr = 1e-5;
  expect_rates(options, 1,
               {{0, 1e-5}, {1, 0.000109}, {9, 0.000901}, {10, 0.001}, {40, 0.0005}, {1000, 1e-4}});
  options.warmup_updates = -1;
  EXPECT_EQ(warmup_updates_of(options), 4000);
}

TEST(LrSchedule, CosineAsFairseq) {
  LrScheduleOptions options = named("cosine");
  options.warmup_updates = 4;
  options.min_lr = 1e-5;
  options.lr_period_updates = 10;
  options.lr_shrink = 0.5;
  expect_rates(options, 1,
               {{0, 1e-5},
                {1, 0.0002575},
                {4, 0.001},
                {5, 0.0009757729755661011},
                {9, 0.000505},
                {14, 0.0005},
                {20, 0.00017601829389220054}});
  options.warmup_init_lr = 1e-6;
  options.t_mult = 2;
  expect_rates(options, 1,
               {{0, 1e-6},
                {1, 0.00025075},
                {9, 0.000505},
                {14, 0.0005},
                {20, 0.0003979768499423871},
                {50, 0.00016449085305389975}});
}

TEST(LrSchedule, FixedAsFairseq) {
  LrScheduleOptions options = named("fixed");
  options.warmup_updates = 4;
  options.lr = {1e-3, 5e-4};
  options.force_anneal = 3;
  expect_rates(options, 1, {{0, 0.00025}, {1, 0.0005}, {3, 0.001}, {4, 0.001}});
  expect_rates(options, 4, {{0, 1.25e-6}, {3, 5e-6}, {4, 5e-6}});
}

TEST(LrSchedule, TriStageAsFairseq) {
  LrScheduleOptions options = named("tri_stage");
  options.warmup_steps = 10;
  options.hold_steps = 5;
  options.decay_steps = 20;
  options.init_lr_scale = 0.05;
  options.final_lr_scale = 0.02;
  expect_rates(options, 1,
               {{0, 5e-05},
                {1, 0.000145},
                {9, 0.000905},
                {10, 0.001},
                {15, 0.001},
                {16, 0.0008223401594268891},
                {34, 2.432083581317316e-05},
                {35, 2e-05},
                {50, 2e-05}});
  options.max_update = 100;
  options.phase_ratio = {0.1, 0.4, 0.5};
  expect_rates(options, 1,
               {{5, 0.000525},
                {10, 0.001},
                {50, 0.001},
                {51, 0.0009247420362361861},
                {99, 2.1627653136005866e-05},
                {101, 2e-05}});
}

TEST(LrSchedule, TriangularAsFairseq) {
  LrScheduleOptions options = named("triangular");
  options.max_lr = 5e-3;
  options.lr_period_updates = 11;  // each half has 5 updates
  options.lr_shrink = 0.5;
  expect_rates(options, 1,
               {{0, 0.001},
                {1, 0.0018},
                {5, 0.005},
                {9, 0.0018},
                {10, 0.001},
                {11, 0.0013},
                {15, 0.0025},
                {25, 0.00125}});
  options.shrink_min = true;
  expect_rates(options, 1, {{1, 0.0018}, {10, 0.0005}, {11, 0.0009}, {15, 0.0025}, {20, 0.00025}});
}

constexpr std::int64_t kUpdatesOfEpoch = 4;

/// The rate after each epoch, of which each ends with a validation loss, or none.
std::vector<double> rates_after(LrSchedule& schedule, std::int64_t first_epoch,
                                const std::vector<std::optional<double>>& losses) {
  std::vector<double> rates;
  std::int64_t epoch = first_epoch;
  double lr = schedule.lr_at((epoch - 1) * kUpdatesOfEpoch);
  for (const std::optional<double>& loss : losses) {
    schedule.begin_epoch(epoch, lr);
    schedule.end_epoch(epoch, epoch * kUpdatesOfEpoch, loss);
    lr = schedule.lr_at(epoch++ * kUpdatesOfEpoch);
    rates.push_back(lr);
  }
  return rates;
}

TEST(LrSchedule, ReduceOnPlateauAsFairseqAndResumedAnywhere) {
  using Options = LrScheduleOptions;
  const std::vector<std::optional<double>> losses{5.0, 4.0, 3.99, 3.98, 3.0, {}, 3.1, 3.2, 2.999};
  struct Row {
    void (*change)(Options&);
    std::vector<double> expected;
  };
  const std::vector<Row> rows{
      {[](Options&) {},
       {0.001, 0.001, 0.0005, 0.00025, 0.00025, 0.00025, 0.000125, 6.25e-05, 3.125e-05}},
      {[](Options& o) { o.lr_patience = 1; },
       {0.001, 0.001, 0.001, 0.0005, 0.0005, 0.0005, 0.0005, 0.00025, 0.00025}},
      {[](Options& o) { o.warmup_updates = 10; },
       {0.0004, 0.0008, 0.001, 0.0005, 0.0005, 0.0005, 0.00025, 0.000125, 6.25e-05}},
      {[](Options& o) { o.maximize_metric = true; },
       {0.001, 0.0005, 0.00025, 0.000125, 6.25e-05, 6.25e-05, 3.125e-05, 1.5625e-05, 7.8125e-06}}};
  for (const Row& row : rows) {
    Options options = named("reduce_lr_on_plateau");
    options.lr_shrink = 0.5;
    options.lr_threshold = 1e-2;
    row.change(options);
    for (std::size_t cut = 0; cut <= losses.size(); ++cut) {
      const auto at = static_cast<std::ptrdiff_t>(cut);
      const auto first = LrSchedule::make(options), second = LrSchedule::make(options);
      std::vector<double> rates = rates_after(*first, 1, {losses.begin(), losses.begin() + at});
      const std::int64_t updates = at * kUpdatesOfEpoch;
      second->restore(first->state(), updates, first->lr_at(updates));
      for (const double rate : rates_after(*second, at + 1, {losses.begin() + at, losses.end()}))
        rates.push_back(rate);
      EXPECT_EQ(rates, row.expected) << "cut at " << cut;
    }
  }
}

TEST(LrSchedule, ManualAsFairseq) {
  LrScheduleOptions options = named("manual");
  options.epoch2lr = "{'2-3': 0.5, '5,7': 0.25}";
  options.update2lr = "{'20': 0.125}";
  const auto schedule = LrSchedule::make(options);
  EXPECT_EQ(rates_after(*schedule, 1, std::vector<std::optional<double>>(8)),
            (std::vector<double>{0.001, 0.5, 0.5, 0.5, 0.125, 0.125, 0.125, 0.125}));
}

TEST(LrSchedule, RefusesWhatFairseqRefuses) {
  struct Row {
    const char* name;
    void (*change)(LrScheduleOptions&);
    const char* phrase;
  };
  const std::vector<Row> rows{
      {"pass_through", [](LrScheduleOptions&) {},
       "supported: fixed, polynomial_decay, inverse_sqrt, cosine, tri_stage, "
       "reduce_lr_on_plateau, triangular, manual"},
      {"tri_stage", [](LrScheduleOptions&) {}, "needs --decay-steps, or --phase-ratio"},
      {"tri_stage",
       [](LrScheduleOptions& o) {
         o.phase_ratio = {0.5, 0.1, 0.1};
       },
       "three numbers whose sum is 1"},
      {"tri_stage",
       [](LrScheduleOptions& o) {
         o.phase_ratio = {0.5, 0.25, 0.25};
       },
       "needs --max-update"},
      {"tri_stage",
       [](LrScheduleOptions& o) {
         o.decay_steps = 5;
         o.final_lr_scale = 0;
       },
       "--final-lr-scale"},
      {"triangular", [](LrScheduleOptions&) {}, "needs --max-lr"},
      {"triangular", [](LrScheduleOptions& o) { o.max_lr = 1e-3; }, "must be above --lr"},
      {"triangular",
       [](LrScheduleOptions& o) {
         o.max_lr = 1;
         o.lr_period_updates = 1;
       },
       "at least 2"},
      {"reduce_lr_on_plateau", [](LrScheduleOptions& o) { o.lr_shrink = 1; }, "--lr-shrink"},
      {"manual", [](LrScheduleOptions& o) { o.epoch2lr = "{'a': 1}"; }, "expected a dict"},
      {"manual", [](LrScheduleOptions& o) { o.update2lr = "{'1-9999999999': 1}"; },
       "expected a dict"},
      {"fixed", [](LrScheduleOptions& o) { o.lr.clear(); }, "--lr is an empty list"},
      {"polynomial_decay", [](LrScheduleOptions&) {}, "--total-num-update"},
      {"inverse_sqrt",
       [](LrScheduleOptions& o) {
         o.lr = {1, 2};
       },
       "takes one --lr"},
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
