// Branching: a new run starts from a checkpoint of another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace btm {

struct BranchOptions {
  std::filesystem::path old_folder,
      subfolder;  ///< Checkpoints are looked for in old_folder/subfolder.
  std::filesystem::path new_folder,
      new_subfolder;  ///< The branch is new_folder/new_subfolder/checkpoint_last.pt.
  // How far the seed phase went, one of the two:
  std::optional<double> share;         ///< Of the updates of the last checkpoint there, in [0, 1].
  std::optional<std::int64_t> update;  ///< An update number; -1: checkpoint_last.
  /// The expert of a DeMIX model: its rank, or a domain that its cfg names (task.train_domains).
  std::string domain_id;
};

struct BranchReport {
  std::filesystem::path source, target;
  bool from_demix = false;  ///< `source` is a shard that was merged with the shared half.
  bool existed = false;     ///< The target existed; nothing was read or written.
};

/// Takes the checkpoint_EPOCH_UPDATE.pt whose update is nearest to the given one, or to int(share *
/// largest update). Of two equally near it takes the earlier, or the later for a share above 0.5.
/// Copies a dense checkpoint (the copies share blocks where the file system can). Merges a DeMIX
/// expert with its shared half, optimizer state included. The target appears whole or not at all.
/// UsageError for options that contradict each other. FormatError for a source that is not a
/// checkpoint, or whose weights are not finite (it names the tensor). IoError that names the folder
/// when no checkpoint fits.
BranchReport branch_checkpoint(const BranchOptions& options);

}  // namespace btm
