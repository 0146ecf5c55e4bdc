// What is due after an update: validation, a checkpoint, the end of the run. No torch here.
#pragma once

#include <cstdint>
#include <optional>

#include "btm/trainer/options.h"

namespace btm {

struct Due {
  bool validate = false, save = false;
};

/// The rules of fairseq's validate_and_save after `updates` updates in all, in `epoch`. `stop`: the
/// run ends here.
Due due_after_update(const TrainOptions& options, std::int64_t epoch, bool end_of_epoch,
                     std::int64_t updates, bool stop);

/// --patience: counts validations in a row that were not better than the best one.
class EarlyStop {
 public:
  explicit EarlyStop(const CheckpointOptions& options)
      : patience_(options.patience), maximize_(options.maximize_best_checkpoint_metric) {}

  /// Takes the result of a validation, if there was one. A loss that is not finite is never better.
  /// True when the run must end.
  bool note(std::optional<double> val_loss);

 private:
  std::int64_t patience_;
  bool maximize_;
  std::optional<double> best_;
  std::int64_t worse_ = 0;
};

}  // namespace btm
