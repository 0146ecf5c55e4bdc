// fairseq's checkpoint: a torch file with a dict of model, cfg or args, optimizer state and
// iterator state. Keys and versions: compat/checkpoint/checkpoint.md
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compat/fairseq/config.h"
#include "compat/fairseq/dictionary_digest.h"
#include "compat/torch/named_tensors.h"
#include "compat/torch/torch_file.h"

namespace compat {

struct MetaseqFile;

class Checkpoint {
 public:
  Checkpoint(Checkpoint&&) = default;
  Checkpoint& operator=(Checkpoint&&) = default;

  /// Maps a checkpoint of torch, a safetensors file or a Hugging Face folder. No tensor is read. A
  /// DeMIX expert `checkpoint_last-rank-N.pt` is merged with the `-shared.pt` beside it, a rank of
  /// fairseq's moe branch with the other ranks too (moe_ranks.md). metaseq gets fairseq's names;
  /// `-model_part-N` or `-shardN`, and STEM.pt for such files, stand for all of them (metaseq.md).
  /// FormatError when that file is missing, or when both halves hold a tensor. A folder, a data-bin
  /// or a dict.txt given by mistake is named in the error.
  static Checkpoint open(const std::filesystem::path& path);

  const std::string& path() const noexcept { return path_; }
  /// "zip", "legacy" (torch's layouts), "metaseq", "safetensors" or "hugging face" (a folder).
  std::string_view format() const noexcept { return format_; }
  /// The tensors of `model` in file order. A DeMIX pair has the order of the dense model.
  const NamedTensors& model() const noexcept { return model_; }
  const TensorView* find(std::string_view name) const noexcept;  ///< Null when absent.
  const Config& config() const noexcept { return config_; }
  /// The dictionary that the model was trained with. Holds the digest, which fairseq's own files
  /// lack, and the dict.txt of the data in cfg, which need not exist.
  KnownDictionary dictionary() const;
  /// fairseq's --model-overrides (see Config::override_with). root() does not change.
  void override_config(const ConfigValue& overrides) { config_.override_with(overrides); }
  /// The whole pickled dict. For a DeMIX pair, the rank file's dict with the merged `model` and
  /// optimizer state.
  const PickleNode& root() const noexcept { return *tree_.root; }
  const PickleTree& tree() const noexcept { return tree_; }
  /// `extra_state`, `last_optimizer_state` or another entry. Null when it is absent or None.
  const PickleNode* find_entry(std::string_view key) const noexcept;
  /// The files that were read: one, ranks of DeMIX or a mixture and their shared part, or parts.
  const std::vector<std::string>& files() const noexcept { return files_; }

  /// Whether `path` is named like the shared half of a DeMIX model, which is no whole model.
  static bool is_shared_half(const std::filesystem::path& path);
  /// The path of the shared half of a DeMIX expert `checkpoint_last-rank-N.pt`. Empty for other
  /// names.
  static std::filesystem::path shared_half_of(const std::filesystem::path& path);

 private:
  Checkpoint() = default;
  void open_torch_file(std::shared_ptr<const MappedFile> mapped);
  void open_metaseq_files(std::span<const MetaseqFile> files);

  std::string path_;
  std::string_view format_ = "zip";
  PickleTree tree_;
  NamedTensors model_;
  std::unordered_map<std::string_view, const TensorView*> by_name_;
  Config config_{ConfigValue{}};
  std::string dictionary_sha256_;
  std::vector<std::string> files_;
};

/// The tensors under `model` in a checkpoint's dict. FormatError when that is not a dict of
/// tensors.
NamedTensors model_tensors(const PickleNode& root, const std::string& file);

/// The digest under kDictionaryKey in a checkpoint's dict, or "". FormatError when it is not a
/// digest.
std::string kept_dictionary(const PickleNode& root, const std::string& file);

/// Writes the checkpoint with the dict `root`, atomically. fairseq's load_checkpoint_to_cpu reads
/// it.
void save_checkpoint(const std::filesystem::path& path, const PickleNode& root,
                     TorchLayout layout = TorchLayout::kZip);

/// A copy of the checkpoint's dict in `arena`, with `model` (an OrderedDict) as its model. Other
/// entries are shared with the original.
PickleNode* with_model(PickleArena& arena, const PickleNode& root, const NamedTensors& model);

/// A copy of the checkpoint's dict in `arena`, with `sha256` as its dictionary's digest. Without a
/// digest when `sha256` is empty.
PickleNode* with_dictionary(PickleArena& arena, const PickleNode& root, const std::string& sha256);

/// A copy of the checkpoint's dict in `arena` with the entries that fairseq's loader asks for
/// (optimizer_history, extra_state): those of a model that was not trained yet where formats
/// without an optimizer have none.
PickleNode* with_history(PickleArena& arena, const PickleNode& root);

}  // namespace compat
