// The sections of a checkpoint's configuration for optimizer, criterion and schedule.
#pragma once

#include "btm/trainer/options.h"
#include "compat/fairseq/config.h"

namespace btm {

void set_optimizer(compat::ConfigValue& root, const TrainOptions& options);
void set_criterion(compat::ConfigValue& root, const TrainOptions& options);
void set_lr_scheduler(compat::ConfigValue& root, const TrainOptions& options);

}  // namespace btm
