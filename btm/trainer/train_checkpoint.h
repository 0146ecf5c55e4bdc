// A run's checkpoint: the dict that fairseq 0.12.2 resumes, with what it lacks under
// extra_state.btm.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "btm/trainer/epoch_batches.h"
#include "btm/trainer/trainer.h"
#include "compat/checkpoint/checkpoint.h"

namespace btm {

/// What a checkpoint holds beside the trainer's state.
struct TrainState {
  IteratorState iterator;
  std::optional<double> val_loss, best;
  std::optional<double> scheduler_best;  ///< the schedulers' own record of the best validation loss
  /// The epoch whose validation and checkpoints were due when a signal came: the next run begins
  /// with them.
  std::optional<std::int64_t> due_epoch;
  /// `optimizer_history` of the checkpoint that was resumed, and what keeps it alive.
  const compat::PickleNode* history = nullptr;
  std::shared_ptr<const compat::PickleArena> history_arena;
  std::string
      dictionary_sha256;  ///< Of the run's dictionary; what is resumed has the same or none.
};

/// The checkpoint of now. Its tensors are snapshots, so that it may be written while the training
/// goes on.
compat::PickleTree make_checkpoint(Trainer& trainer, const TrainState& state);

/// Takes up the training state of `checkpoint`, whose weights `trainer` was made with. The
/// --reset-... flags of the options say what is left out. Returns the rest.
TrainState restore_training_state(Trainer& trainer, const compat::Checkpoint& checkpoint);

/// Says that the optimizer state in `checkpoint` is of another precision than the run's (fp32,
/// --fp16, memory-efficient), which fairseq refuses; empty where it is not, or is not used.
std::string changed_precision(const Trainer& trainer, const compat::Checkpoint& checkpoint);

}  // namespace btm
