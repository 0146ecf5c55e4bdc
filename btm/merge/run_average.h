// The average of a run's checkpoints: what fairseq's scripts/average_checkpoints.py computes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "btm/merge/merge_options.h"

namespace btm {

/// Which checkpoints of a run are averaged.
enum class RunCheckpoints : std::uint8_t {
  kUpdates,  ///< checkpoint_EPOCH_UPDATE.pt, the last N by update
  kEpochs,   ///< checkpointEPOCH.pt, the last N by epoch
  kBest,     ///< the N with the lowest number after the last '_' (checkpoint.best_loss_3.21.pt)
};

/// The checkpoints of kUpdates and kEpochs in `folder`, the newest first, none with a number beyond
/// `upper_bound`. UsageError when there are fewer than `count`.
std::vector<std::filesystem::path> last_checkpoints(const std::filesystem::path& folder,
                                                    std::int64_t count, RunCheckpoints kind,
                                                    std::optional<std::int64_t> upper_bound);

/// The `count` best of `inputs`, which are files or one folder with checkpoint.best_METRIC_X.pt. At
/// most `count`, as in fairseq; equal ones in the order given. UsageError for a file whose name
/// ends in no number, and for a folder without such files.
std::vector<std::filesystem::path> best_checkpoints(
    const std::vector<std::filesystem::path>& inputs, std::int64_t count);

struct RunAverageOptions {
  std::vector<std::filesystem::path> inputs;  ///< In the order of the sums.
  std::filesystem::path output;               ///< The file to write.
  int num_threads = 0;                        ///< 0: all cores.
};

/// Writes the average of the inputs. Every tensor has the bits of fairseq 0.12.2's script: summed
/// in the order given and in the tensor's dtype, then divided by their number. fp16 becomes fp32
/// before the sum. Integers are divided rounding down. All else comes from the first input, the
/// optimizer's state included. Tensors that share memory in all inputs also do in the output, where
/// the script writes them twice. Memory as in merge_checkpoints(). FormatError for inputs that do
/// not fit together, for bool and complex tensors, and for NaN or infinity in an input or the
/// result, which the script would write. The output appears whole or not at all.
MergeReport average_run(const RunAverageOptions& options, const MergeProgress& progress = {});

}  // namespace btm
