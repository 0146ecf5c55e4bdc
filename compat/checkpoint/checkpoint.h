// fairseq's checkpoint: a torch file holding a dict with model, cfg or args, optimizer and iterator
// state. Keys and versions: compat/checkpoint/checkpoint.md
#pragma once

#include <filesystem>
#include <memory>
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

class Checkpoint {
 public:
  Checkpoint(Checkpoint&&) = default;
  Checkpoint& operator=(Checkpoint&&) = default;

  /// Opens a checkpoint of either layout, a safetensors file or a Hugging Face folder; maps,
  /// touches no tensor. `checkpoint_last-rank-N.pt` of DeMIX brings in the
  /// `-shared.pt` beside it and the two are seen as one (missing: FormatError naming it). A folder,
  /// a data-bin, a dict.txt given by mistake is named as such. FormatError when both halves hold a
  /// tensor.
  static Checkpoint open(const std::filesystem::path& path);

  const std::string& path() const noexcept { return path_; }
  /// "zip", "legacy" (torch's layouts), "safetensors" or "hugging face" (a folder).
  std::string_view format() const noexcept { return format_; }
  /// `model`, in file order (a DeMIX pair: in the order of the dense model).
  const NamedTensors& model() const noexcept { return model_; }
  const TensorView* find(std::string_view name) const noexcept;  ///< Null when absent.
  const Config& config() const noexcept { return config_; }
  /// The dictionary that the model was trained with: its digest (empty in files that keep none, as
  /// fairseq's own) and the dict.txt of the data that cfg names, be it there or not.
  KnownDictionary dictionary() const;
  /// fairseq's --model-overrides (see Config::override_with); what root() holds stays as it is.
  void override_config(const ConfigValue& overrides) { config_.override_with(overrides); }
  /// The whole pickled dict (of a DeMIX pair: the rank file's with `model` and the optimizer state
  /// merged).
  const PickleNode& root() const noexcept { return *tree_.root; }
  const PickleTree& tree() const noexcept { return tree_; }
  /// `extra_state`, `last_optimizer_state`, ... or null when absent or None.
  const PickleNode* find_entry(std::string_view key) const noexcept;
  /// The files read: one, or a DeMIX shard and its shared part.
  const std::vector<std::string>& files() const noexcept { return files_; }

  /// Whether `path` is named as the shared half of DeMIX shards, which holds no model of its own.
  static bool is_shared_half(const std::filesystem::path& path);
  /// The shared half beside a DeMIX shard `checkpoint_last-rank-N.pt`; empty for a path that is not
  /// named so.
  static std::filesystem::path shared_half_of(const std::filesystem::path& path);

 private:
  Checkpoint() = default;

  std::string path_;
  std::string_view format_ = "zip";
  PickleTree tree_;
  NamedTensors model_;
  std::unordered_map<std::string_view, const TensorView*> by_name_;
  Config config_{ConfigValue{}};
  std::string dictionary_sha256_;
  std::vector<std::string> files_;
};

/// The tensors under `model` of a checkpoint's dict. FormatError when it is not a dict of tensors.
NamedTensors model_tensors(const PickleNode& root, const std::string& file);

/// The digest that a checkpoint's dict keeps under kDictionaryKey, or "". FormatError for what
/// cannot be one.
std::string kept_dictionary(const PickleNode& root, const std::string& file);

/// Writes a checkpoint that fairseq's load_checkpoint_to_cpu reads: `root` is its dict. Atomic.
void save_checkpoint(const std::filesystem::path& path, const PickleNode& root,
                     TorchLayout layout = TorchLayout::kZip);

/// A copy of the checkpoint's dict in `arena` whose `model` holds `model` instead (an OrderedDict);
/// other entries are shared.
PickleNode* with_model(PickleArena& arena, const PickleNode& root, const NamedTensors& model);

/// A copy of the checkpoint's dict in `arena` with `sha256` as its dictionary's digest, or without
/// one where that is empty.
PickleNode* with_dictionary(PickleArena& arena, const PickleNode& root, const std::string& sha256);

/// A copy of the checkpoint's dict in `arena` with the entries that fairseq's loader asks for
/// (optimizer_history, extra_state): those of a model that was not trained yet where formats
/// without an optimizer have none.
PickleNode* with_history(PickleArena& arena, const PickleNode& root);

}  // namespace compat
