#include "converters/inspect_model.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/foreign_model.h"
#include "compat/fairseq/config_json.h"
#include "compat/fairseq/network_settings.h"
#include "compat/io/sha256.h"
#include "converters/model_file.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostTensors = 200'000;
constexpr std::size_t kMostKeys = 12;    ///< shown of a dict that is no checkpoint
constexpr std::size_t kFewTensors = 10;  ///< shown of a file without summary

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) value /= 1024, ++unit;
  return compat::concat(compat::decimal(value, unit == 0 ? 0 : 1), ' ', kUnits[unit]);
}

/// The value of a pickle node when it is short, else "a dict of 3" or the like.
Json node_json(const compat::PickleNode* node) {
  if (node == nullptr || node->is_none()) return nullptr;
  if (const auto* value = node->get_if<bool>()) return *value;
  if (const auto* value = node->get_if<std::int64_t>()) return *value;
  if (const auto* value = node->get_if<double>()) return *value;
  if (const auto* value = node->get_if<std::string>()) return *value;
  return node->describe();
}

/// Tensors and their total size. What several share is counted once: a storage's bytes, and the
/// elements of views that begin at the same place of one.
class TensorTable {
 public:
  TensorTable(const std::string& file, bool hash) : file_(file), hash_(hash) {}

  void add(const std::string& name, const compat::TensorView& view) {
    if (rows_.size() >= kMostTensors)
      throw compat::FormatError({file_, {}, {}},
                                compat::concat("holds more than ", kMostTensors, " tensors"));
    Json row{{"name", name},
             {"dtype", compat::dtype_name(view.dtype())},
             {"shape", view.shape},
             {"stride", view.stride}};
    if (hash_) {
      row["sha256"] = compat::sha256_hex(view.contiguous_bytes(scratch_));
      view.storage->release_pages();
    }
    rows_.push_back(std::move(row));
    if (seen_.insert(view.storage.get()).second) bytes_ += view.storage->size_bytes();
    if (!places_.emplace(view.storage.get(), view.offset).second) return;
    elements_ += view.numel();
    by_type_[std::string(compat::dtype_name(view.dtype()))] += view.numel();
  }

  /// The type of the elements ("float32"), or all types, the most frequent first.
  std::string precision() const {
    std::vector<std::pair<std::string, std::int64_t>> types(by_type_.begin(), by_type_.end());
    std::ranges::stable_sort(types, std::greater(), &std::pair<std::string, std::int64_t>::second);
    std::string text;
    for (const auto& [type, elements] : types) compat::append_item(text, type);
    return text;
  }
  std::int64_t elements() const noexcept { return elements_; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  Json take_rows() { return std::move(rows_); }

 private:
  std::string file_;
  bool hash_;
  Json rows_ = Json::array();
  std::vector<std::byte> scratch_;
  std::set<const compat::Storage*> seen_;
  std::set<std::pair<const compat::Storage*, std::int64_t>> places_;
  std::map<std::string, std::int64_t> by_type_;
  std::int64_t elements_ = 0;
  std::uint64_t bytes_ = 0;
};

/// The last entry of optimizer_history, where fairseq stores the number of updates.
Json last_history(const compat::Checkpoint& checkpoint, std::string_view key) {
  const compat::PickleNode* const history = checkpoint.find_entry("optimizer_history");
  const auto* list = history == nullptr ? nullptr : history->get_if<compat::PickleList>();
  return list == nullptr || list->items.empty() ? Json(nullptr)
                                                : node_json(list->items.back()->find(key));
}

Json optimizer_json(const compat::Checkpoint& checkpoint) {
  const compat::PickleNode* const optimizer = checkpoint.find_entry("last_optimizer_state");
  if (optimizer == nullptr) return nullptr;
  Json json{{"name", last_history(checkpoint, "optimizer_name")}};
  const compat::PickleNode* const state = optimizer->find("state");
  const auto* dict = state == nullptr ? nullptr : state->get_if<compat::PickleDict>();
  json["entries"] = dict == nullptr ? 0 : dict->items.size();
  if (const auto* scale = optimizer->find("loss_scale")) json["loss_scale"] = node_json(scale);
  return json;
}

Json extra_state_json(const compat::Checkpoint& checkpoint) {
  Json extra = Json::object();
  const compat::PickleNode* const state = checkpoint.find_entry("extra_state");
  if (state == nullptr) return extra;
  for (const char* const key : {"val_loss", "best", "previous_training_time"})
    if (const auto* found = state->find(key)) extra[key] = node_json(found);
  if (const auto* iterator = state->find("train_iterator"))
    for (const char* const key : {"epoch", "iterations_in_epoch"})
      if (const auto* found = iterator->find(key)) extra[key] = node_json(found);
  return extra;
}

/// The size of dimension `dim` of a tensor. Null when there is no such tensor.
Json size_of(const compat::Checkpoint& checkpoint, std::string_view name, std::size_t dim) {
  const compat::TensorView* const view = checkpoint.find(name);
  return view == nullptr || view->shape.size() <= dim ? Json(nullptr) : Json(view->shape[dim]);
}

/// The number from cfg.model, else from cfg.task. Null when neither has it.
Json number_of(const compat::Checkpoint& checkpoint, std::string_view key) {
  for (const char* const section : {"model", "task"})
    if (const compat::ConfigValue* found = checkpoint.config().find(section, key))
      if (const auto* number = std::get_if<std::int64_t>(&found->value)) return *number;
  return nullptr;
}

std::int64_t layers_of(const compat::Checkpoint& checkpoint) {
  constexpr std::string_view kLayers = "decoder.layers.";
  std::set<std::string> numbers;
  for (const auto& [name, view] : checkpoint.model())
    if (name.starts_with(kLayers))
      numbers.insert(name.substr(kLayers.size(), name.find('.', kLayers.size()) - kLayers.size()));
  return static_cast<std::int64_t>(numbers.size());
}

bool is_tied(const compat::Checkpoint& checkpoint) {
  const auto *const output = checkpoint.find("decoder.output_projection.weight"),
                    *const input = checkpoint.find("decoder.embed_tokens.weight");
  if (output == nullptr || input == nullptr)
    return output == nullptr &&
           checkpoint.config().get_bool("model", "share_decoder_input_output_embed", false);
  return output->storage == input->storage && output->offset == input->offset;
}

/// Of the first feed-forward block, which may be an expert's. With moe_freq above 1 the first layer
/// has none.
Json ffn_width(const compat::Checkpoint& checkpoint) {
  Json width = size_of(checkpoint, "decoder.layers.0.fc1.weight", 0);
  return width.is_null() ? size_of(checkpoint, "decoder.layers.0.moe_layer.experts.0.fc1.weight", 0)
                         : width;
}

/// The experts and the router of a mixture of experts.
Json mixture_json(const compat::Checkpoint& checkpoint) {
  const compat::Config& config = checkpoint.config();
  const compat::ConfigValue* const names = config.find("model", compat::kMoeExpertsKey);
  const bool top1 = config.get_bool("model", compat::kMoeTop1Key, false);
  return {{"experts", number_of(checkpoint, compat::kMoeExpertCountKey)},
          {"router", config.get_string("model", compat::kMoeRouterKey, top1 ? "top1" : "top2")},
          {"names", names == nullptr ? Json(nullptr) : compat::config_as_json(*names)}};
}

/// The summary, from the tensors, or from the configuration where the tensors do not tell.
Json summary_json(const compat::Checkpoint& checkpoint, const TensorTable& table) {
  const compat::Config& config = checkpoint.config();
  const std::string dictionary = checkpoint.dictionary().sha256;
  Json positions = number_of(checkpoint, "max_target_positions");
  if (positions.is_null()) positions = number_of(checkpoint, "tokens_per_sample");
  return {{"architecture", config.is_flat() ? config.get_string("", "arch", "")
                                            : config.get_string("model", "_name", "")},
          {"layers", layers_of(checkpoint)},
          {"width", size_of(checkpoint, "decoder.embed_tokens.weight", 1)},
          {"ffn_width", ffn_width(checkpoint)},
          {"heads", number_of(checkpoint, "decoder_attention_heads")},
          {"vocabulary", size_of(checkpoint, "decoder.embed_tokens.weight", 0)},
          {"positions", positions},
          {"tied", is_tied(checkpoint)},
          {"parameters", table.elements()},
          {"precision", table.precision()},
          {"num_updates", last_history(checkpoint, "num_updates")},
          {"optimizer", checkpoint.find_entry("last_optimizer_state") == nullptr
                            ? Json(nullptr)
                            : last_history(checkpoint, "optimizer_name")},
          {compat::kDictionaryKey, dictionary.empty() ? Json(nullptr) : Json(dictionary)}};
}

void add_checkpoint(const compat::Checkpoint& checkpoint, bool hash, Json& json) {
  TensorTable table(checkpoint.path(), hash);
  for (const auto& [name, view] : checkpoint.model()) table.add(name, view);
  json["summary"] = summary_json(checkpoint, table);
  json["configuration"] = checkpoint.config().is_flat() ? "args" : "cfg";
  json["arch"] = json["summary"]["architecture"];
  json["num_updates"] = json["summary"]["num_updates"];
  json["criterion"] = last_history(checkpoint, "criterion_name");
  json["lr_scheduler"] = last_history(checkpoint, "lr_scheduler_name");
  json["optimizer"] = optimizer_json(checkpoint);
  json["parameters"] = table.elements();
  json["model_bytes"] = table.bytes();
  json["extra_state"] = extra_state_json(checkpoint);
  if (compat::has_mixtures(checkpoint.config())) json["mixture"] = mixture_json(checkpoint);
  json["cfg"] = compat::config_as_json(checkpoint.config().root());
  json["tensors"] = table.take_rows();
}

/// "a dict of 3: model, epoch, best"; "a list of 2".
std::string content_text(const compat::PickleNode& root) {
  const auto* dict = root.get_if<compat::PickleDict>();
  std::string text =
      dict == nullptr ? root.describe() : compat::concat("a dict of ", dict->items.size());
  for (std::size_t i = 0; dict != nullptr && i < dict->items.size(); ++i) {
    if (i == kMostKeys) return text + ", ...";
    const auto* key = dict->items[i].first->get_if<std::string>();
    text += (i == 0 ? ": " : ", ") +
            (key != nullptr ? compat::printable(*key) : dict->items[i].first->describe());
  }
  return text;
}

/// Prints the notes on the form of the model.
void print_form(const Json& json, const std::string& indent, std::ostream& out) {
  if (json.contains("why_not"))
    out << indent << "not a model of fairseq: " << json["why_not"].get<std::string>() << "\n";
  if (json.contains("foreign_form"))
    out << indent << json["foreign_form"].get<std::string>() << "\n";
}

void print_summary(const Json& json, const std::string& indent, std::ostream& out) {
  const Json& summary = json["summary"];
  out << indent << text_of(json["layout"]) << " layout, " << text_of(summary["architecture"])
      << ": " << text_of(summary["layers"]) << " layers, width " << text_of(summary["width"])
      << " (ffn " << text_of(summary["ffn_width"]) << "), " << text_of(summary["heads"])
      << " heads, vocabulary " << text_of(summary["vocabulary"]) << ", "
      << text_of(summary["positions"]) << " positions, output "
      << (summary["tied"] ? "tied" : "not tied") << "\n";
  if (json.contains("mixture")) {
    const Json& mixture = json["mixture"];
    out << indent << "a mixture of " << text_of(mixture["experts"]) << " experts, router "
        << text_of(mixture["router"]);
    for (std::size_t i = 0; mixture["names"].is_array() && i < mixture["names"].size(); ++i)
      out << (i == 0 ? ": " : ", ") << text_of(mixture["names"][i]);
    out << "\n";
  }
  out << indent << compat::grouped(summary["parameters"].get<std::int64_t>()) << " parameters ("
      << text_of(summary["precision"]) << ", "
      << human_bytes(json["model_bytes"].get<std::uint64_t>()) << "), "
      << text_of(summary["num_updates"]) << " updates, criterion " << text_of(json["criterion"]);
  out << (json["optimizer"].is_null() ? ", no optimizer state"
                                      : ", optimizer state of " + text_of(summary["optimizer"]))
      << "\n"
      << indent;
  if (summary[compat::kDictionaryKey].is_null())
    out << "stores no digest of its dictionary\n";
  else
    out << "dictionary " << text_of(summary[compat::kDictionaryKey]) << "\n";
}

void print_content(const Json& json, const std::string& indent, std::ostream& out) {
  out << indent << text_of(json["layout"]) << " layout";
  if (json.contains("holds")) out << ", holds " << json["holds"].get<std::string>();
  out << "\n"
      << indent << compat::grouped(json["parameters"].get<std::int64_t>()) << " elements ("
      << text_of(json["precision"]) << ", " << human_bytes(json["model_bytes"].get<std::uint64_t>())
      << ")\n";
}

void print_rows(const Json& rows, std::size_t count, const std::string& indent, std::ostream& out) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < count; ++i) width = std::max(width, text_of(rows[i]["name"]).size());
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = text_of(rows[i]["name"]);
    out << indent << name << std::string(width - name.size() + 2, ' ') << text_of(rows[i]["dtype"])
        << " " << compat::shape_text(rows[i]["shape"].get<std::vector<std::int64_t>>());
    if (rows[i].contains("sha256")) out << "  " << text_of(rows[i]["sha256"]);
    out << "\n";
  }
}

}  // namespace

std::string text_of(const Json& value) {
  return value.is_string() ? compat::printable(value.get<std::string>(), 200)
         : value.is_null() ? "-"
                           : value.dump();
}

Json model_json(const fs::path& path, bool hash) {
  const ModelFile file = open_model_file(path);
  Json json{{"kind", file.kind}, {"files", file.files}, {"layout", file.layout}};
  if (file.checkpoint) {
    add_checkpoint(*file.checkpoint, hash, json);
    if (const std::string form = compat::foreign_form(file.checkpoint->model()); !form.empty())
      json["foreign_form"] = form;
    return json;
  }
  compat::NamedTensors tensors;
  if (file.kind == "demix shared part")
    tensors = compat::model_tensors(*file.tree.root, file.files.front());
  else
    for_each_tensor(file,
                    [&](const std::string& name, const compat::PickleNode*,
                        const compat::TensorView& view) { tensors.emplace_back(name, view); });
  TensorTable table(path.string(), hash);
  for (const auto& [name, view] : tensors) table.add(name, view);
  if (file.tree.root != nullptr) json["holds"] = content_text(*file.tree.root);
  if (!file.why_not.empty()) json["why_not"] = file.why_not;
  if (const std::string form = compat::foreign_form(tensors); !form.empty())
    json["foreign_form"] = form;
  json["parameters"] = table.elements();
  json["precision"] = table.precision();
  json["model_bytes"] = table.bytes();
  json["tensors"] = table.take_rows();
  return json;
}

void print_model(const Json& json, const std::string& indent, ShownTensors tensors,
                 std::ostream& out) {
  out << indent << text_of(json["kind"]);
  for (const Json& file : json["files"])
    out << " " << compat::printable(file.get<std::string>(), 4096);
  out << "\n";
  const bool has_summary = json.contains("summary");
  has_summary ? print_summary(json, indent + "  ", out) : print_content(json, indent + "  ", out);
  print_form(json, indent + "  ", out);
  if (tensors == ShownTensors::kNone || !json.contains("tensors")) return;
  const std::size_t all = json["tensors"].size(),
                    few = has_summary ? 0 : std::min(kFewTensors, all);
  const std::size_t count = tensors == ShownTensors::kAll ? all : few;
  print_rows(json["tensors"], count, indent + "  ", out);
  if (count < all)
    out << indent << "  " << (count > 0 ? "and " : "") << all - count
        << (count > 0 ? " more" : " tensors") << " (--tensors lists them)\n";
}

}  // namespace converters
