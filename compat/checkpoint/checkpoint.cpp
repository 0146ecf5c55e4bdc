#include "compat/checkpoint/checkpoint.h"

#include <algorithm>
#include <unordered_set>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/metaseq_checkpoint.h"
#include "compat/checkpoint/metaseq_name.h"
#include "compat/checkpoint/moe_ranks.h"
#include "compat/checkpoint/safetensors_checkpoint.h"
#include "compat/checkpoint/shard_name.h"
#include "compat/fairseq/config_json.h"
#include "compat/fairseq/network_settings.h"
#include "compat/huggingface/huggingface_folder.h"
#include "compat/huggingface/safetensors.h"

namespace compat {
namespace {

using Items = std::vector<std::pair<PickleNode*, PickleNode*>>;

const PickleDict& dict_of(const PickleNode& root, const std::string& file) {
  const auto* dict = root.get_if<PickleDict>();
  if (dict == nullptr)
    throw FormatError(
        {file, {}, {}},
        "holds " + root.describe() + ", expected a checkpoint (a dict with model, cfg or args)");
  return *dict;
}

/// The prefix of a layer's tensor ("decoder.layers.3." for layer 3), or "".
std::string layer_of(const std::string& name) {
  static constexpr std::string_view kLayers = "decoder.layers.";
  return name.starts_with(kLayers) ? name.substr(0, name.find('.', kLayers.size()) + 1)
                                   : std::string();
}

/// The tensors of the dense model in its order. An expert's part of a layer precedes the layer's
/// final_layer_norm.
NamedTensors merged_model(const NamedTensors& expert, const NamedTensors& shared,
                          const std::string& expert_file, const std::string& shared_file) {
  std::unordered_map<std::string, NamedTensors> waiting;
  std::vector<std::string> layers;
  for (const auto& item : expert) {
    const auto [place, is_new] = waiting.try_emplace(layer_of(item.first));
    if (is_new) layers.push_back(place->first);
    place->second.push_back(item);
  }
  NamedTensors model;
  const auto emit = [&](const std::string& layer) {
    const auto found = waiting.find(layer);
    if (found == waiting.end()) return;
    model.insert(model.end(), found->second.begin(), found->second.end());
    waiting.erase(found);
  };
  std::unordered_set<std::string_view> names;
  for (const auto& [name, view] : expert) names.insert(name);
  for (const auto& item : shared) {
    if (names.contains(item.first))
      throw FormatError({expert_file, {}, {}}, "holds '" + printable(item.first) +
                                                   "', which its shared half " +
                                                   printable(shared_file, 4096) +
                                                   " also holds, expected it in one of the two");
    const std::string layer = layer_of(item.first);
    if (item.first.starts_with(layer + "final_layer_norm.") && !layer.empty()) emit(layer);
    model.push_back(item);
  }
  for (const std::string& layer : layers) emit(layer);
  return model;
}

PickleNode* model_node(PickleArena& arena, const NamedTensors& model) {
  PickleDict dict;
  dict.ordered = true;
  for (const auto& [name, view] : model)
    dict.items.emplace_back(arena.string(name), arena.tensor(view));
  return arena.make(std::move(dict));
}

/// Adam's state of both halves. The keys already are indices over the whole model. Other entries
/// (loss_scale) are dropped, as in the merge script of the released code.
PickleNode* merged_optimizer(PickleArena& arena, const PickleNode* expert, const PickleNode* shared,
                             const std::string& file) {
  const auto state_of = [&](const PickleNode& half) -> const Items& {
    const PickleNode* const state = half.find("state");
    const auto* dict = state == nullptr ? nullptr : state->get_if<PickleDict>();
    if (dict == nullptr)
      throw FormatError({file, "last_optimizer_state", {}}, "has no dict 'state'");
    return dict->items;
  };
  const auto key_of = [&](const std::pair<PickleNode*, PickleNode*>& item) {
    const auto* key = item.first->get_if<std::int64_t>();
    if (key == nullptr)
      throw FormatError({file, "last_optimizer_state", {}},
                        "has the key " + item.first->describe() + ", expected a parameter's index");
    return *key;
  };
  PickleDict state;
  state.items = state_of(*expert);
  const Items& more = state_of(*shared);
  state.items.insert(state.items.end(), more.begin(), more.end());
  for (const auto& item : state.items) key_of(item);
  std::ranges::stable_sort(state.items, std::less{}, key_of);
  const auto twice = std::ranges::adjacent_find(state.items, std::equal_to{}, key_of);
  if (twice != state.items.end())
    throw FormatError(
        {file, "last_optimizer_state", {}},
        concat("parameter ", key_of(*twice), " has state in both halves, expected one"));
  PickleDict merged;
  merged.items.emplace_back(arena.string("state"), arena.make(std::move(state)));
  if (const PickleNode* groups = expert->find("param_groups"))
    merged.items.emplace_back(arena.string("param_groups"), const_cast<PickleNode*>(groups));
  return arena.make(std::move(merged));
}

/// Replaces an entry of a checkpoint's dict, or appends it.
void put(PickleArena& arena, PickleDict& root, std::string_view name, PickleNode* value) {
  const auto place = std::ranges::find_if(root.items, [&](const auto& item) {
    const auto* key = item.first->template get_if<std::string>();
    return key != nullptr && *key == name;
  });
  if (place == root.items.end())
    root.items.emplace_back(arena.string(std::string(name)), value);
  else
    place->second = value;
}

/// The dict of a DeMIX pair: that of the expert, with the model and the optimizer state merged. The
/// shared half's `optimizer` may be null or None. Entries that the released code's merge script
/// drops are left out.
PickleNode* merged_root(PickleArena& arena, const PickleNode& expert, const PickleNode* optimizer,
                        const NamedTensors& model, const std::string& file) {
  PickleDict root;
  for (const std::string_view key :
       {"cfg", "args", "extra_state", "optimizer_history", kDictionaryKey})
    if (const PickleNode* value = expert.find(key))
      root.items.emplace_back(arena.string(std::string(key)), const_cast<PickleNode*>(value));
  root.items.emplace_back(arena.string("model"), model_node(arena, model));
  const PickleNode* const own = expert.find("last_optimizer_state");
  if (own != nullptr && optimizer != nullptr && !own->is_none() && !optimizer->is_none())
    root.items.emplace_back(arena.string("last_optimizer_state"),
                            merged_optimizer(arena, own, optimizer, file));
  return arena.make(std::move(root));
}

Config config_of(const PickleNode& root, const std::string& file) {
  return Config::from_checkpoint(root.find("cfg"), root.find("args"), file);
}

/// A model that was in several files.
struct WholeModel {
  PickleTree tree;
  NamedTensors model;
  std::vector<std::string> files;
};

/// The experts of all ranks of the mixture that `file` is a rank of, and rank 0's dict.
WholeModel joined_ranks(const std::string& file, const PickleTree& own) {
  WholeModel whole;
  whole.tree.arena = std::make_shared<PickleArena>();
  std::vector<MoeRank> ranks;
  for (const std::filesystem::path& path : moe_rank_files(file)) {
    const TorchFile rank = load_torch_file(path);
    const PickleNode& dict = *rank.tree.root;
    check_same_dictionary({file, kept_dictionary(*own.root, file), {}},
                          {rank.path, kept_dictionary(dict, rank.path), {}});
    ranks.push_back({rank.path, model_tensors(dict, rank.path),
                     config_of(dict, rank.path).get_int("model", kMoeExpertCountKey, 0)});
    whole.tree.arena->keep(rank.tree.arena);
    if (whole.tree.root == nullptr) whole.tree.root = rank.tree.root;
    whole.files.push_back(rank.path);
  }
  whole.model = joined_experts(ranks);
  return whole;
}

/// A rank's file with the shared part, and with the other ranks where all are one mixture.
WholeModel joined(const std::string& file, const PickleTree& tree, const NamedTensors& model,
                  const std::filesystem::path& shared_path) {
  const bool is_mixture = is_moe_rank(config_of(*tree.root, file));
  if (!std::filesystem::exists(shared_path))
    throw FormatError({file, {}, {}},
                      concat("is ", is_mixture ? "a rank of a mixture" : "an expert of DeMIX",
                             " without its shared part, expected ",
                             printable(shared_path.string(), 4096), " beside it"));
  const WholeModel own = is_mixture ? joined_ranks(file, tree) : WholeModel{tree, model, {file}};
  const TorchFile shared = load_torch_file(shared_path);
  const PickleNode& shared_root = *shared.tree.root;
  check_same_dictionary({file, kept_dictionary(*tree.root, file), {}},
                        {shared.path, kept_dictionary(shared_root, shared.path), {}});
  // Not in one braced list: GCC 12 destroys a nested member twice where a later one throws.
  WholeModel whole;
  whole.model = merged_model(own.model, model_tensors(shared_root, shared.path), file, shared.path);
  whole.tree.arena = std::make_shared<PickleArena>();
  whole.files = own.files;
  whole.files.push_back(shared.path);
  // Each rank of a mixture counts Adam's parameters in its own way.
  const PickleNode* const optimizer =
      is_mixture ? nullptr : shared_root.find("last_optimizer_state");
  whole.tree.root = merged_root(*whole.tree.arena, *own.tree.root, optimizer, whole.model, file);
  for (const PickleTree* part : {&tree, &own.tree, &shared.tree})
    whole.tree.arena->keep(part->arena);
  return whole;
}

}  // namespace

NamedTensors model_tensors(const PickleNode& root, const std::string& file) {
  const PickleDict& dict = dict_of(root, file);
  const PickleNode* const model = root.find("model");
  if (model == nullptr) {
    std::string keys;
    for (const auto& [key, value] : dict.items) {
      if (keys.size() > 200) break;
      const auto* text = key->get_if<std::string>();
      append_item(keys, text != nullptr ? printable(*text, 40) : key->describe());
    }
    throw FormatError({file, {}, {}},
                      "a dict without 'model' (its keys: " + (keys.empty() ? "none" : keys) +
                          "), expected a checkpoint");
  }
  return named_tensors(*model, file, "model");
}

bool Checkpoint::is_shared_half(const std::filesystem::path& path) {
  return path.filename().string().ends_with("-shared.pt");
}

std::filesystem::path Checkpoint::shared_half_of(const std::filesystem::path& path) {
  const std::optional<ShardName> name = shard_name(path);
  return name ? path.parent_path() / (name->stem + "-shared.pt") : std::filesystem::path();
}

void Checkpoint::open_torch_file(std::shared_ptr<const MappedFile> mapped) {
  const TorchFile file = load_torch_file(std::move(mapped));
  format_ = file.layout == TorchLayout::kZip ? "zip" : "legacy";
  tree_ = file.tree;
  if (!is_metaseq_checkpoint(root(), path_)) return;
  format_ = "metaseq";
  const std::vector<MetaseqShard> only{{file, 0}};
  tree_ = metaseq_checkpoint(only);
}

void Checkpoint::open_metaseq_files(std::span<const MetaseqFile> files) {
  format_ = "metaseq";
  files_.clear();
  std::vector<MetaseqShard> shards;
  for (const MetaseqFile& file : files) {
    shards.push_back({load_torch_file(file.path), file.part});
    files_.push_back(file.path.string());
  }
  tree_ = metaseq_checkpoint(shards);
}

Checkpoint Checkpoint::open(const std::filesystem::path& path) {
  Checkpoint checkpoint;
  checkpoint.path_ = path.string();
  checkpoint.files_ = {checkpoint.path_};
  if (is_hugging_face_folder(path)) {
    checkpoint.format_ = "hugging face";
    checkpoint.tree_ = hugging_face_checkpoint(path);
  } else if (const auto parts = metaseq_files(path); !parts.empty()) {
    checkpoint.open_metaseq_files(parts);
  } else if (auto file = MappedFile::open(path); is_safetensors(file->bytes())) {
    checkpoint.format_ = "safetensors";
    checkpoint.tree_ = safetensors_checkpoint(std::move(file));
  } else {
    checkpoint.open_torch_file(std::move(file));
  }
  checkpoint.model_ = model_tensors(checkpoint.root(), checkpoint.path_);
  if (is_shared_half(path))
    throw FormatError({checkpoint.path_, {}, {}},
                      "is the part that DeMIX experts share, expected a whole model or an expert "
                      "(name ...-rank-N.pt: the shared part beside it is read too)");
  if (const auto shared = shared_half_of(path); !shared.empty()) {
    WholeModel whole = joined(checkpoint.path_, checkpoint.tree_, checkpoint.model_, shared);
    checkpoint.tree_ = whole.tree;
    checkpoint.model_ = std::move(whole.model);
    checkpoint.files_ = std::move(whole.files);
  }
  checkpoint.dictionary_sha256_ = kept_dictionary(checkpoint.root(), checkpoint.path_);
  for (const auto& [name, view] : checkpoint.model_) checkpoint.by_name_.emplace(name, &view);
  checkpoint.config_ = config_of(checkpoint.root(), checkpoint.path_);
  return checkpoint;
}

const TensorView* Checkpoint::find(std::string_view name) const noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

KnownDictionary Checkpoint::dictionary() const {
  KnownDictionary known{path_, dictionary_sha256_, {}};
  const ConfigValue* const data = config_.find("task", "data");
  const auto* text = data == nullptr ? nullptr : std::get_if<std::string>(&data->value);
  if (text != nullptr && !text->empty() && text->size() <= 4096 &&
      text->find('\0') == std::string::npos)
    known.dict_txt = std::filesystem::path(text->substr(0, text->find(':'))) / "dict.txt";
  return known;
}

const PickleNode* Checkpoint::find_entry(std::string_view key) const noexcept {
  const PickleNode* const entry = root().find(key);
  return entry == nullptr || entry->is_none() ? nullptr : entry;
}

void save_checkpoint(const std::filesystem::path& path, const PickleNode& root,
                     TorchLayout layout) {
  model_tensors(root, path.string());  // refuses a dict that the reader would refuse
  save_torch_file(path, root, layout);
}

PickleNode* with_model(PickleArena& arena, const PickleNode& root, const NamedTensors& model) {
  PickleDict copy = dict_of(root, "checkpoint");
  put(arena, copy, "model", model_node(arena, model));
  return arena.make(std::move(copy));
}

PickleNode* with_dictionary(PickleArena& arena, const PickleNode& root, const std::string& sha256) {
  PickleDict copy = dict_of(root, "checkpoint");
  if (!sha256.empty() || root.find(kDictionaryKey) != nullptr)
    put(arena, copy, kDictionaryKey, sha256.empty() ? arena.none() : arena.string(sha256));
  return arena.make(std::move(copy));
}

PickleNode* with_history(PickleArena& arena, const PickleNode& root) {
  PickleDict copy = dict_of(root, "checkpoint");
  const auto plain = [&](ConfigValue::Dict dict) {
    return config_to_pickle(arena, {std::move(dict)});
  };
  if (root.find("optimizer_history") == nullptr) {
    PickleList history;
    history.items.push_back(plain({{"criterion_name", {"CrossEntropyCriterion"}},
                                   {"optimizer_name", {"FairseqAdam"}},
                                   {"lr_scheduler_state", {ConfigValue::Dict{{"best", {}}}}},
                                   {"num_updates", {std::int64_t{0}}}}));
    arena.put(copy, "optimizer_history", arena.make(std::move(history)));
  }
  if (root.find("extra_state") == nullptr)
    arena.put(copy, "extra_state",
              plain({{"train_iterator",
                      {ConfigValue::Dict{{"epoch", {std::int64_t{1}}},
                                         {"iterations_in_epoch", {std::int64_t{0}}}}}}}));
  return arena.make(std::move(copy));
}

std::string kept_dictionary(const PickleNode& root, const std::string& file) {
  const PickleNode* const kept = root.find(kDictionaryKey);
  if (kept == nullptr || kept->is_none()) return {};
  const auto* text = kept->get_if<std::string>();
  if (text == nullptr || !is_dictionary_sha256(*text))
    throw FormatError({file, kDictionaryKey, {}},
                      "is " + (text != nullptr ? "'" + printable(*text) + "'" : kept->describe()) +
                          ", expected 64 digits of a SHA-256");
  return *text;
}

}  // namespace compat
