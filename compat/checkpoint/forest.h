// A forest: a folder of experts. Its manifest forest.json says where each is and what it was
// started from. A folder without one is read in the release's layout, DOMAIN/checkpoint_last.pt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compat/fairseq/dictionary_digest.h"

namespace compat {

/// The cluster that data or an expert belongs to, and the SHA-256 of the cluster model; "": not
/// known.
struct ClusterOrigin {
  std::size_t cluster = 0;
  std::string model_sha256;
};

/// ForestExpert::start of an expert that `btm run` trained from its seed model.
inline constexpr const char* kStartedByRun = "run";

/// The folder of experts in the output of `btm run`.
inline constexpr const char* kExpertsOfRun = "experts";

/// A model that an expert was started from, and its weight in the average.
struct ForestParent {
  std::string model;  ///< An expert's name, or the path of a checkpoint.
  double weight = 1;
};

struct ForestExpert {
  std::string name;  ///< Letters, digits, '_', '-', '.'; not '.' first. Unique in the forest.
  std::string domain;
  std::filesystem::path path;  ///< The checkpoint, relative to the forest and inside it.
  std::string start;           ///< How the parents were chosen: "nearest", "posterior", "expert",
                               ///< "checkpoint", "run"; "" when not known.
  std::vector<ForestParent> parents;
  std::string data;  ///< The data-bin it was trained on; "" when not known.
  std::optional<double> valid_ppl;
  std::string dictionary =
      {};  ///< Digest of the dictionary (compat/fairseq/dictionary_digest.h); "" when not known.
  bool complete = true;  ///< False until its training has ended.
  std::optional<ClusterOrigin> cluster =
      {};  ///< The cluster whose documents it was trained on, if any.
};

struct Forest {
  std::filesystem::path folder;
  bool has_manifest = false;
  std::vector<ForestExpert> experts;
  /// Experts that were taken out and whose files may still be there. No command runs them.
  std::vector<ForestExpert> removed = {};

  const ForestExpert* find(std::string_view name) const noexcept;
  ForestExpert* find(std::string_view name) noexcept;
  /// The folder's path joined with the expert's.
  std::filesystem::path checkpoint_of(const ForestExpert& expert) const {
    return folder / expert.path;
  }
};

/// UsageError for a text that cannot name an expert.
void check_expert_name(std::string_view name);

/// What the --help of every command on a forest says of FOREST.
inline constexpr const char* kForestHelp =
    "a folder of experts, or the output folder of btm run, whose forest is its folder experts";

/// FOLDER/experts, the forest of a run, where `folder` is the output of `btm run`; else `folder`.
std::filesystem::path forest_folder(const std::filesystem::path& folder);

/// Opens forest_folder(). Reads the manifest or, without one, takes the subfolders with a
/// checkpoint_last.pt, in natural order (c2 before c10). Opens no checkpoint. IoError for what is
/// not a folder. FormatError that names the field for a broken manifest.
Forest open_forest(const std::filesystem::path& folder);

/// Whether forest_folder() has a manifest or subfolders that open_forest() takes, and no
/// checkpoint_last.pt of its own.
bool is_forest(const std::filesystem::path& folder);

/// The complete experts, in their order. IoError when there is none.
std::vector<ForestExpert> complete_experts(const Forest& forest);
std::vector<std::string> checkpoints_of(const Forest& forest);

/// The digest of the dictionary that an expert was trained with, from the manifest or else from its
/// checkpoint.
KnownDictionary dictionary_of(const Forest& forest, const ForestExpert& expert);

/// For a folder without a manifest, a line that lists the subfolders taken as experts: all with a
/// checkpoint_last.pt. Empty for a folder with a manifest.
std::string taken_as_experts(const Forest& forest);

/// What the manifest of the folder that a checkpoint lies in, or of one above it, says of the
/// checkpoint; nothing without one. Errors as open_forest's.
std::optional<ForestExpert> manifest_entry(const std::filesystem::path& checkpoint);

/// Joined by ':', as --path takes them. UsageError for one that holds a ':'.
std::string joined_paths(const std::vector<std::string>& paths);

/// Opens the forest (as open_forest does), applies `change` and writes the manifest, whole or not
/// at all. Other processes' changes wait meanwhile.
void change_forest(const std::filesystem::path& folder, const std::function<void(Forest&)>& change);

/// fairseq's count of updates in a checkpoint; nothing when it keeps none. Errors as
/// Checkpoint::open's.
std::optional<std::int64_t> updates_of(const std::filesystem::path& checkpoint);

}  // namespace compat
