#include "btm/merge/sparse_tasks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "btm/merge/method_table.h"

namespace {

using btm::Band;
using btm::Places;
using btm::Sparsifier;
using Values = std::vector<float>;

std::vector<std::span<const float>> spans(const std::vector<Values>& models) {
  return {models.begin(), models.end()};
}

Values random_values(std::size_t size) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  Values values(size);
  for (float& value : values) value = normal(random);
  return values;
}

double share_kept(std::span<const float> values) {
  return 1 -
         static_cast<double>(std::ranges::count(values, 0.0f)) / static_cast<double>(values.size());
}

TEST(PlacesKept, AreTheLargestButForOutliers) {
  using btm::places_kept;
  EXPECT_EQ(places_kept(Sparsifier::kLargest, {.density = 0.25}, 10), (Places{8, 10}));
  EXPECT_EQ(places_kept(Sparsifier::kLargest, {.density = 0.01}, 10), (Places{9, 10}));  // one
  EXPECT_EQ(places_kept(Sparsifier::kLargest, {.density = 0}, 10), Places{});
  EXPECT_EQ(places_kept(Sparsifier::kOutliers, {.density = 0.5, .gamma = 0.2}, 10), (Places{3, 8}));
  // Fewer outliers are dropped where the share to keep needs them.
  EXPECT_EQ(places_kept(Sparsifier::kOutliers, {.density = 0.9, .gamma = 0.2}, 10), (Places{0, 9}));
  const Places none = places_kept(Sparsifier::kOutliers, {.density = 0.05, .gamma = 0.2}, 10);
  EXPECT_EQ(none.first, none.last);
  EXPECT_EQ(places_kept(Sparsifier::kOutliers, {.density = 0.5}, 0), Places{});
}

TEST(KeepBand, KeepsSomeOfTheElementsAtItsEnds) {
  const Values values{1, -2, 2, 3, -4, 4, 5, 2};
  const Band band{.low = 2, .high = 4, .low_from = 1, .low_to = 2, .high_to = 1};
  const btm::BandEnds ends = btm::count_ends(values, band);
  EXPECT_EQ(ends.lows, 3U);
  EXPECT_EQ(ends.highs, 2U);
  Values task = values;
  btm::keep_band(task, band, {}, task);
  EXPECT_EQ(task, (Values{0, 0, 2, 3, -4, 0, 0, 0}));
  task = values;  // a later piece: one such element each came before
  btm::keep_band(task, band, {.lows = 1, .highs = 1}, task);
  EXPECT_EQ(task, (Values{0, -2, 0, 3, 0, 0, 0, 0}));
}

TEST(KeepRandom, KeepsTheSameElementsInAnyPieces) {
  const Values values = random_values(20000);
  const btm::DareMask mask = btm::dare_mask(3, 1, "decoder.w");
  Values whole = values, parts = values;
  btm::keep_random(mask, 0.3, 0, whole);
  btm::keep_random(mask, 0.3, 0, std::span(parts).first(777));
  btm::keep_random(mask, 0.3, 777, std::span(parts).subspan(777));
  EXPECT_EQ(whole, parts);
  EXPECT_NEAR(share_kept(whole), 0.3, 5 * std::sqrt(0.3 * 0.7 / 20000));
}

TEST(KeepByRank, KeepsLargerElementsOfARowMoreOften) {
  constexpr std::size_t kRow = 4, kRows = 20000;
  Values values;
  for (std::size_t row = 0; row < kRows; ++row)
    for (const float value : {-0.4f, 0.1f, 0.3f, -0.2f}) values.push_back(value);
  btm::keep_by_rank(btm::dare_mask(1, 0, "w"), {.density = 0.5, .epsilon = 0.3}, 0, kRow, values);
  // Ranks 3, 0, 2 and 1 of 0.2, 0.4, 0.6 and 0.8.
  const double probabilities[] = {0.8, 0.2, 0.6, 0.4};
  for (std::size_t j = 0; j < kRow; ++j) {
    std::size_t kept = 0;
    for (std::size_t row = 0; row < kRows; ++row) kept += values[row * kRow + j] != 0;
    EXPECT_NEAR(static_cast<double>(kept) / kRows, probabilities[j], 0.015) << j;
  }
}

TEST(KeepByRank, GivesRowsOfOneTheirDensity) {
  Values values(20000, 1.0f);
  btm::keep_by_rank(btm::dare_mask(1, 0, "w"), {.density = 0.4, .epsilon = 0.3}, 0, 1, values);
  EXPECT_NEAR(share_kept(values), 0.4, 0.015);
}

TEST(AddTasks, SumsAndNormalizes) {
  const Values base{1, 1};
  Values out(2);
  btm::add_tasks(base, spans({{2, 0}, {1, -3}}), Values{2, 1}, {.scale = 0.5}, out);
  EXPECT_EQ(out, (Values{1 + 0.5f * 5, 1 - 0.5f * 3}));
  btm::add_tasks(base, spans({{2, 0}, {1, -3}}), Values{2, 2}, {.normalizes = true}, out);
  EXPECT_EQ(out, (Values{1 + 6 / 4.0f, 1 - 6 / 4.0f}));
  btm::add_tasks(base, spans({{2, 0}, {1, -3}}), Values{1, -1}, {.normalizes = true}, out);
  EXPECT_EQ(out, (Values{2, 4}));  // weights that cancel are not divided by
}

TEST(AddTasks, ElectsTheSignOfTheSum) {
  const Values base{0, 0, 0};
  const std::vector<Values> values{{3, -1, 0}, {-1, -2, 0}, {-1, 5, 0}};
  const auto tasks = spans(values);
  Values out(3);
  btm::add_tasks(base, tasks, Values{1, 1, 1}, {.elects = true}, out);
  EXPECT_EQ(out, (Values{3, 5, 0}));
  btm::add_tasks(base, tasks, Values{1, 4, 2}, {.elects = true, .normalizes = true}, out);
  EXPECT_EQ(out, (Values{(-4 - 2) / 6.0f, 5, 0}));
  // A negative weight turns the sign of its task vector.
  btm::add_tasks(Values{0}, spans({{1}, {-2}}), Values{1, -1}, {.elects = true},
                 std::span(out).first(1));
  EXPECT_EQ(out[0], 3);
}

TEST(Variances, AreOverTheModels) {
  Values out(2);
  btm::variances(Values{1, 1}, spans({{2, 1}, {4, 1}, {6, 1}}), out);
  EXPECT_FLOAT_EQ(out[0], 8 / 3.0f);
  EXPECT_EQ(out[1], 0);
}

TEST(AddSceTasks, AveragesWhatHasTheSignOfTheSum) {
  Values out(2);
  btm::add_sce_tasks(Values{10, 10}, spans({{3, 0}, {1, 0}, {-2, 0}}), Values{0.5f, 0.25f, 0.25f},
                     out);
  EXPECT_FLOAT_EQ(out[0], 10 + (1.5f + 0.25f) / 0.75f);
  EXPECT_EQ(out[1], 10);
}

TEST(MethodTable, HasTheNamesInTheirOrder) {
  using enum btm::MergeMethod;
  EXPECT_EQ(btm::merge_method_name(kLinear), "linear");
  EXPECT_EQ(btm::merge_method_name(kModelStock), "model_stock");
  EXPECT_EQ(btm::merge_method_name(kDareLinear), "dare_linear");
  EXPECT_EQ(btm::merge_method_name(kSce), "sce");
  EXPECT_FALSE(btm::sparse_method(kTies, false));
  EXPECT_EQ(btm::sparse_method(kTies, true)->sparsifier, Sparsifier::kLargest);
  EXPECT_TRUE(btm::sparse_method(kDella, false)->normalizes);
  EXPECT_FALSE(btm::sparse_method(kDellaLinear, false)->elects);
  EXPECT_FALSE(btm::sparse_method(kLinear, false));
}

}  // namespace
