// A run's checkpoint: the dict that fairseq 0.12.2 resumes. extra_state.btm holds what it lacks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "btm/trainer/epoch_batches.h"
#include "btm/trainer/trainer.h"
#include "compat/checkpoint/checkpoint.h"

namespace btm {

/// The content of a checkpoint beside the trainer's state.
struct TrainState {
  IteratorState iterator;
  std::optional<double> val_loss, best;
  /// The epoch whose validation and checkpoints were due when a signal came. The next run begins
  /// with them.
  std::optional<std::int64_t> due_epoch;
  /// `optimizer_history` of the resumed checkpoint, and the owner of its memory.
  const compat::PickleNode* history = nullptr;
  std::shared_ptr<const compat::PickleArena> history_arena;
  std::string
      dictionary_sha256;  ///< Of the run's dictionary. A resumed checkpoint has the same or none.
};

/// The current checkpoint. Its tensors are snapshots, so that training may continue while it is
/// written.
compat::PickleTree make_checkpoint(Trainer& trainer, const TrainState& state);

/// Restores the training state of `checkpoint`, with whose weights `trainer` was made. The
/// --reset-... flags say what to leave out. Returns the state that the trainer does not hold.
TrainState restore_training_state(Trainer& trainer, const compat::Checkpoint& checkpoint);

/// Warnings about a restart from `checkpoint`: its optimizer state has another precision than the
/// run, which fairseq refuses, or it has no average for --store-ema to continue.
std::vector<std::string> doubts_of_restart(const Trainer& trainer,
                                           const compat::Checkpoint& checkpoint);

}  // namespace btm
