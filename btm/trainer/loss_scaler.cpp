#include "btm/trainer/loss_scaler.h"

#include <algorithm>

namespace btm {
namespace {

constexpr double kScaleFactor = 2;

}  // namespace

LossScaler::LossScaler(const LossScalerOptions& options) : options_(options) {
  state_.loss_scale = options.init_scale;
}

bool LossScaler::overflow() {
  const double before = state_.loss_scale;
  const auto since_rescale = static_cast<double>(state_.iteration - state_.last_rescale);
  state_.last_overflow = state_.iteration;
  ++state_.overflows_since_rescale;
  if (static_cast<double>(state_.overflows_since_rescale) / since_rescale >= options_.tolerance) {
    state_.loss_scale /= kScaleFactor;
    if (options_.threshold) state_.loss_scale = std::max(state_.loss_scale, *options_.threshold);
    state_.last_rescale = state_.iteration;
    state_.overflows_since_rescale = 0;
  }
  if (state_.loss_scale <= options_.min_loss_scale) {
    state_.loss_scale = before;
    return false;
  }
  ++state_.iteration;
  return true;
}

void LossScaler::update() {
  if ((state_.iteration - state_.last_overflow) % options_.scale_window == 0) {
    state_.loss_scale *= kScaleFactor;
    state_.last_rescale = state_.iteration;
  }
  ++state_.iteration;
}

}  // namespace btm
