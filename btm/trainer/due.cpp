#include "btm/trainer/due.h"

#include <cmath>

namespace btm {

Due due_after_update(const TrainOptions& options, std::int64_t epoch, bool end_of_epoch,
                     std::int64_t updates, bool stop) {
  const DatasetOptions& dataset = options.dataset;
  const CheckpointOptions& checkpoint = options.checkpoint;
  const auto every = [updates](std::int64_t interval) {
    return interval > 0 && updates > 0 && updates % interval == 0;
  };
  const bool may_validate = updates >= dataset.validate_after_updates;
  Due due;
  due.save = stop || (end_of_epoch && epoch % checkpoint.save_interval == 0) ||
             (may_validate && every(checkpoint.save_interval_updates));
  due.validate = stop || (!end_of_epoch && due.save) ||
                 (end_of_epoch && epoch % dataset.validate_interval == 0) ||
                 every(dataset.validate_interval_updates);
  due.validate = due.validate && may_validate && !dataset.disable_validation;
  return due;
}

bool EarlyStop::note(std::optional<double> val_loss) {
  if (!val_loss || patience_ <= 0) return false;
  const bool better =
      std::isfinite(*val_loss) && (!best_ || (maximize_ ? *val_loss > *best_ : *val_loss < *best_));
  if (!better) return ++worse_ >= patience_;
  best_ = val_loss;
  worse_ = 0;
  return false;
}

}  // namespace btm
