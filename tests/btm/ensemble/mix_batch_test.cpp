#include "btm/ensemble/mix_batch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/support/expect_error.h"

namespace btm {
namespace {

constexpr std::int64_t kPad = 1;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using Scores = std::vector<float>;

/// Two rows of three columns, the second ending in padding.
Batch padded_batch() {
  Batch batch;
  batch.pad = kPad;
  batch.rows = 2;
  batch.columns = 3;
  batch.tokens = {2, 4, 5, 2, kPad, kPad};
  batch.targets = {4, 5, 6, 4, kPad, kPad};
  batch.ids = {0, 1};
  batch.first_scored = {0, 0};
  return batch;
}

Scores logs(Scores probabilities) {
  for (float& value : probabilities) value = std::log(value);
  return probabilities;
}

MixedBatch mix(const Scores& a, const Scores& b, PosteriorRule rule) {
  const std::vector<std::span<const float>> scores{a, b};
  return mix_batch(padded_batch(), scores, Posterior(Prior::given({0.8, 0.2}), rule));
}

const Scores kA = logs({0.5F, 0.1F, 0.2F, 0.5F, 0.9F, 1}),
             kB = logs({0.25F, 0.3F, 0.6F, 0.25F, 0.1F, 1});

TEST(MixBatch, ReportsTheWeightsOfTheLastColumnAsTheReleaseDoes) {
  const MixedBatch mixed = mix(kA, kB, PosteriorRule::kLast);
  const double first = 0.8 * 0.1 / (0.8 * 0.1 + 0.2 * 0.3),
               second = 0.8 * 0.9 / (0.8 * 0.9 + 0.2 * 0.1);  // of padding
  EXPECT_NEAR(mixed.posterior[0], (first + second) / 2, 1e-7);
  EXPECT_NEAR(mixed.log_probs[0], std::log(0.375), 1e-6);
  EXPECT_NEAR(mixed.log_probs[3], std::log(0.375), 1e-6);
  EXPECT_EQ(mixed.log_probs[4], 0);
}

TEST(MixBatch, ReportsWhatFollowsTheLastTargetByBayes) {
  const MixedBatch mixed = mix(kA, kB, PosteriorRule::kFull);
  const double a = 0.8 * 0.5 * 0.1 * 0.2, b = 0.2 * 0.25 * 0.3 * 0.6, one = 0.4 / 0.45;
  EXPECT_NEAR(mixed.posterior[0], (a / (a + b) + one) / 2, 1e-6);
}

TEST(MixBatch, ReportsThePriorWhereNothingChangesIt) {
  EXPECT_NEAR(mix(kA, kB, PosteriorRule::kNone).posterior[0], 0.8, 1e-12);
}

TEST(MixBatch, OfOneColumnHasSeenNothing) {
  Batch batch;
  batch.pad = kPad;
  batch.rows = batch.columns = 1;
  batch.tokens = {2};
  batch.targets = {4};
  batch.ids = batch.first_scored = {0};
  const Scores a{-1}, b{-2};
  const std::vector<std::span<const float>> scores{a, b};
  const MixedBatch mixed =
      mix_batch(batch, scores, Posterior(Prior::given({0.9, 0.1}), PosteriorRule::kLast));
  EXPECT_EQ(mixed.posterior, (std::vector<double>{0.5, 0.5}));
}

TEST(MixBatch, RefusesAScoreThatWasNotComputed) {
  Scores broken = kB;
  broken[1] = kNan;
  for (const PosteriorRule rule :
       {PosteriorRule::kLast, PosteriorRule::kFull, PosteriorRule::kNone})
    btm_test::expect_error<std::runtime_error>([&] { mix(kA, broken, rule); },
                                               "expert 2 of the ensemble: no score was computed");
  broken = kB;
  broken[4] = kNan;  // the padding that the release's posterior rests on
  btm_test::expect_error<std::runtime_error>([&] { mix(kA, broken, PosteriorRule::kLast); },
                                             "expert 2 of the ensemble: no score was computed");
}

TEST(MixBatch, ReadsNothingOfAnExpertWithoutAPart) {
  Prior prior = Prior::uniform(2);
  prior.exclude(1);
  const std::vector<std::span<const float>> scores{kA, {}};
  const MixedBatch mixed =
      mix_batch(padded_batch(), scores, Posterior(prior, PosteriorRule::kLast));
  EXPECT_EQ(mixed.posterior, (std::vector<double>{1, 0}));
  EXPECT_EQ(mixed.log_probs, (Scores{kA[0], kA[1], kA[2], kA[3], 0, 0}));
}

}  // namespace
}  // namespace btm
