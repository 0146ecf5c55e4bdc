// Which models a word of the command line stands for. All commands ask here, so that all take the
// same things.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace compat {

/// What the --help of every command with models says.
inline constexpr const char* kWhatAModelIs =
    "A model is a checkpoint of fairseq or metaseq, a folder with checkpoint_last.pt or "
    "consolidated.pt, a DeMIX rank's file or a folder of ranks, a Hugging Face folder, or a "
    "safetensors file. Where several models are taken, each may be NAME=MODEL, and a forest (see "
    "btm forest) stands for its experts.";

enum class ModelKind : std::uint8_t {
  kCheckpoint,
  kDemixRank,
  kMetaseq,  ///< In parts or shards; one in a single file is a kCheckpoint.
  kSafetensors,
  kHuggingFace
};

struct NamedModel {
  std::string name;            ///< One of its own among the models of a list.
  std::filesystem::path path;  ///< What Checkpoint::open takes: a file (the first one of several),
                               ///< or a Hugging Face folder.
  ModelKind kind = ModelKind::kCheckpoint;
};

/// Gets a line where all subfolders of a folder are taken as experts (taken_as_experts).
using WarnOfModels = std::function<void(const std::string& line)>;

/// The one model at `path`: a file, or a folder that is or holds one. Its name is that of its
/// folder for checkpoint_last.pt and model.safetensors, else the file's without its extension.
/// Weights are not read. IoError for what is no model, or holds several, says what is there.
NamedModel resolve_model(const std::filesystem::path& path);

/// The models of words that are MODEL or NAME=MODEL. A forest gives its complete experts, a folder
/// of DeMIX ranks all ranks, in their own order. A word that is a path as it stands, or has a '/'
/// before its '=', has no name. Names that the words do not give and that are not unique become
/// whole paths. UsageError for a name that is given twice, or to several models; else errors as
/// resolve_model's and open_forest's.
std::vector<NamedModel> resolve_models(std::span<const std::string> words,
                                       const WarnOfModels& warn);

/// The same of words joined by one of `separators`, as in fairseq's --path; empty for an empty
/// list.
std::vector<NamedModel> resolve_models(std::string_view list, const WarnOfModels& warn,
                                       std::string_view separators = ":");

/// Which models of a list are experts, in the words of --experts and --without.
struct ExpertChoice {
  std::string experts;  ///< Names joined by ','; "all": all but the one named seed. "": the
                        ///< command's own choice.
  std::string without;  ///< Names joined by ','.

  bool is_made() const { return !experts.empty() || !without.empty(); }
};

/// The name of the model that experts are branched from. 'all' leaves it out.
inline constexpr std::string_view kSeedName = "seed";

/// The names that `choice` leaves of `names`: in their order, or in that of --experts. Without
/// --experts it starts from all. UsageError for a name that is not there, with those that are, and
/// where none is left.
std::vector<std::string> chosen_experts(std::span<const std::string> names,
                                        const ExpertChoice& choice);

/// The models of these names.
std::vector<NamedModel> chosen_experts(std::vector<NamedModel> models, const ExpertChoice& choice);

std::vector<std::string> paths_of(std::span<const NamedModel> models);

/// The files NAME-rank-0.pt, NAME-rank-1.pt, ... of a folder in the order of their numbers: those
/// of checkpoint_last, else those of the only NAME. Empty where there is none. FormatError for
/// several NAMEs, or a number that is missing.
std::vector<std::filesystem::path> demix_ranks_in(const std::filesystem::path& folder);

}  // namespace compat
