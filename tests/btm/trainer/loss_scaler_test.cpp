#include "btm/trainer/loss_scaler.h"

#include <gtest/gtest.h>

namespace btm {
namespace {

LossScalerOptions options(double init, std::int64_t window) {
  LossScalerOptions scaler;
  scaler.init_scale = init;
  scaler.scale_window = window;
  return scaler;
}

TEST(LossScaler, HalvesAtAnOverflowAndDoublesAfterAWindow) {
  LossScaler scaler(options(1024, 3));
  EXPECT_TRUE(scaler.overflow());
  EXPECT_EQ(scaler.loss_scale(), 512);
  for (int i = 0; i < 2; ++i) scaler.update();
  EXPECT_EQ(scaler.loss_scale(), 512);
  scaler.update();
  EXPECT_EQ(scaler.loss_scale(), 1024);
}

TEST(LossScaler, ToleratesAShareOfOverflows) {
  LossScalerOptions tolerant = options(1024, 100);
  tolerant.tolerance = 0.5;
  LossScaler scaler(tolerant);
  for (int i = 0; i < 4; ++i) scaler.update();
  EXPECT_TRUE(scaler.overflow());  // 1 of 5
  EXPECT_EQ(scaler.loss_scale(), 1024);
}

TEST(LossScaler, GivesUpAtTheMinimumAndKeepsTheScale) {
  LossScalerOptions low = options(2, 100);
  low.min_loss_scale = 0.5;
  LossScaler scaler(low);
  EXPECT_TRUE(scaler.overflow());
  EXPECT_FALSE(scaler.overflow());
  EXPECT_EQ(scaler.loss_scale(), 1);
}

TEST(LossScaler, StopsAtTheThreshold) {
  LossScalerOptions floor = options(4, 100);
  floor.threshold = 3;
  LossScaler scaler(floor);
  EXPECT_TRUE(scaler.overflow());
  EXPECT_EQ(scaler.loss_scale(), 3);
}

}  // namespace
}  // namespace btm
