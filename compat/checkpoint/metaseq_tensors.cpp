#include "compat/checkpoint/metaseq_tensors.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/joined_tensors.h"

namespace compat {
namespace {

constexpr std::string_view kFused = ".qkv_proj.";

[[noreturn]] void fail(const std::string& file, const std::string& section,
                       const std::string& problem) {
  throw FormatError({file, section, {}}, problem);
}

/// The items of a list or tuple, also of torch.Size(tuple). Null for anything else.
const std::vector<PickleNode*>* items_of(const PickleNode* node) {
  if (node == nullptr) return nullptr;
  if (const auto* list = node->get_if<PickleList>()) return &list->items;
  if (const auto* tuple = node->get_if<PickleTuple>()) return &tuple->items;
  const auto* object = node->get_if<PickleObject>();
  const auto* args =
      object == nullptr || object->args == nullptr ? nullptr : object->args->get_if<PickleTuple>();
  const auto* inner = args == nullptr || args->items.size() != 1
                          ? nullptr
                          : args->items.front()->get_if<PickleTuple>();
  return inner == nullptr ? nullptr : &inner->items;
}

/// Reads the entries of FSDP's metadata, which all have to be there.
class Metadata {
 public:
  Metadata(const PickleNode& root, const std::string& file)
      : file_(file), node_(root.find("shard_metadata")) {}

  bool exists() const { return node_ != nullptr && !node_->is_none(); }
  const std::vector<PickleNode*>& list(const PickleNode& node, std::string_view key) const {
    const auto* items = items_of(node.find(key));
    if (items == nullptr) refuse(node, key, "a list");
    return *items;
  }
  const std::vector<PickleNode*>& parameters() const { return list(*node_, "param_metadata"); }
  const std::vector<PickleNode*>& buffers() const { return list(*node_, "buffer_names"); }
  const PickleDict& params_of(std::size_t i) const {
    const auto& all = parameters();
    const PickleNode* const found = i < all.size() ? all[i]->find("params") : nullptr;
    const auto* dict = found == nullptr ? nullptr : found->get_if<PickleDict>();
    if (dict == nullptr) fail(file_, "shard_metadata", concat("has no params of module ", i));
    return *dict;
  }
  std::string text(const PickleNode* node) const {
    const auto* value = node == nullptr ? nullptr : node->get_if<std::string>();
    if (value == nullptr) fail(file_, "shard_metadata", "has no name, expected a string");
    return *value;
  }
  std::int64_t count(const PickleNode* node) const {
    const auto* value = node == nullptr ? nullptr : node->get_if<std::int64_t>();
    if (value == nullptr || *value < 0 || *value > (std::int64_t{1} << 40))
      fail(file_, "shard_metadata",
           "holds " + (node == nullptr ? std::string("nothing") : node->describe()) +
               ", expected a size");
    return *value;
  }

 private:
  [[noreturn]] void refuse(const PickleNode& node, std::string_view key,
                           std::string_view expected) const {
    const PickleNode* const found = node.find(key);
    fail(file_, "shard_metadata",
         concat("'", key, "' is ", found == nullptr ? "missing" : found->describe(), ", expected ",
                expected));
  }

  const std::string& file_;
  const PickleNode* node_;
};

using ByName = std::unordered_map<std::string_view, const TensorView*>;

ByName by_name(const NamedTensors& tensors) {
  ByName index;
  for (const auto& [name, view] : tensors) index.emplace(name, &view);
  return index;
}

const TensorView* find(const ByName& tensors, std::string_view name) {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : found->second;
}

/// Tensors that are added one by one, each under a name of its own.
class Model {
 public:
  explicit Model(const std::string& file) : file_(file) {}

  const TensorView* find(const std::string& name) const {
    const auto found = places_.find(name);
    return found == places_.end() ? nullptr : &tensors_[found->second].second;
  }
  void add(const std::string& name, TensorView view) {
    if (!places_.emplace(name, tensors_.size()).second)
      fail(file_, "shard_metadata", "names '" + printable(name) + "' twice");
    tensors_.emplace_back(name, std::move(view));
  }
  NamedTensors take() { return std::move(tensors_); }

 private:
  const std::string& file_;
  NamedTensors tensors_;
  std::unordered_map<std::string, std::size_t> places_;
};

std::string below(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

/// One flat parameter, put together from all shards.
TensorView flat_parameter(std::span<const ByName> shards, std::span<const Metadata> metadata,
                          std::size_t module, std::size_t entry, const std::string& full,
                          const std::string& file) {
  std::vector<TensorView> pieces;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const TensorView* const view = find(shards[s], full);
    const PickleDict& params = metadata[s].params_of(module);
    if (view == nullptr || entry >= params.items.size())
      fail(file, "model", concat("shard ", s, " has no '", printable(full), "'"));
    const std::int64_t padding = metadata[s].count(params.items[entry].second->find("padding"));
    if (view->shape.size() != 1 || padding > view->shape[0])
      fail(file, "model",
           concat("'", printable(full), "' of shard ", s, " has the shape ",
                  shape_text(view->shape), " with ", padding, " of padding"));
    pieces.push_back(rows_of(*view, 0, view->shape[0] - padding));
  }
  TensorView flat;
  if (const std::string problem = join_rows(pieces, flat); !problem.empty())
    fail(file, "model", "'" + printable(full) + "' " + problem);
  return flat;
}

/// The shape in `node`. A tuple of any length takes few bytes where the memo gives it again, so
/// that its length is checked before it is copied.
std::vector<std::int64_t> shape_of(const PickleNode* node, const Metadata& metadata,
                                   const std::string& name, const std::string& file) {
  const auto* dimensions = items_of(node);
  if (dimensions == nullptr) fail(file, "shard_metadata", "a shape is no tuple");
  const auto refuse = [&](const std::string& problem) {
    fail(file, "shard_metadata", concat("the shape of '", printable(name), "': ", problem));
  };
  if (dimensions->size() > kMaxRank)
    refuse(concat(dimensions->size(), " dimensions, at most ", kMaxRank, " expected"));
  std::vector<std::int64_t> shape;
  for (const PickleNode* dimension : *dimensions) shape.push_back(metadata.count(dimension));
  if (const std::string problem = shape_problem(shape); !problem.empty()) refuse(problem);
  return shape;
}

/// The `size` elements from `at` on of a flat parameter, as a tensor of `shape`. An empty tensor
/// has no place.
TensorView part_of(const TensorView& flat, std::int64_t at, std::int64_t size,
                   std::vector<std::int64_t> shape) {
  TensorView view = flat;
  view.stride = row_major_stride(shape);
  view.shape = std::move(shape);
  if (size == 0) return view;
  view.offset += at * flat.stride[0];
  for (std::int64_t& stride : view.stride) stride *= flat.stride[0];
  return view;
}

/// Appends the parameters in a flat one: their names, shapes and sizes follow each other.
void take_apart(const TensorView& flat, const PickleNode& info, const Metadata& metadata,
                const std::string& path, const std::string& file, Model& out) {
  const auto& names = metadata.list(info, "names");
  const auto& shapes = metadata.list(info, "shapes");
  const auto& sizes = metadata.list(info, "numels");
  if (names.size() != shapes.size() || names.size() != sizes.size())
    fail(file, "shard_metadata", "names, shapes and numels are not as many");
  std::int64_t at = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string name = below(path, metadata.text(names[i]));
    const std::int64_t size = metadata.count(sizes[i]);
    std::vector<std::int64_t> shape = shape_of(shapes[i], metadata, name, file);
    std::int64_t product = 1;
    for (const std::int64_t n : shape) product *= n;
    if (product != size || shape.empty() || size > flat.shape[0] - at)
      fail(file, "shard_metadata",
           concat("'", printable(name), "' has ", size, " elements and the shape ",
                  shape_text(shape), ", and ", flat.shape[0] - at, " are left"));
    TensorView view = part_of(flat, at, size, std::move(shape));
    if (const std::string problem =
            view_problem(view.offset, view.shape, view.stride, view.storage->numel());
        !problem.empty())
      fail(file, "shard_metadata", concat("'", printable(name), "': ", problem));
    out.add(name, std::move(view));
    at += size;
  }
  if (at != flat.shape[0])
    fail(file, "shard_metadata",
         concat("names ", at, " elements of a flat parameter of ", flat.shape[0]));
}

void copy_shared(const PickleNode& module, const Metadata& metadata, Model& out) {
  const auto* shared = items_of(module.find("shared_param_info"));
  if (shared == nullptr) return;
  for (const PickleNode* pair : *shared) {
    const auto* names = items_of(pair);
    if (names == nullptr || names->size() != 2) continue;
    const TensorView* const source = out.find(metadata.text((*names)[0]));
    const std::string name = metadata.text((*names)[1]);
    if (source != nullptr && out.find(name) == nullptr) out.add(name, TensorView(*source));
  }
}

/// How the pieces of a tensor lie in the parts.
enum class Join : std::uint8_t { kFirst, kRows, kColumns, kThirds };

Join join_of(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (has(kFused)) return Join::kThirds;
  for (const std::string_view part : {"embed_tokens.", ".fc1.", ".k_proj.", ".q_proj.", ".v_proj."})
    if (has(part)) return Join::kRows;
  for (const std::string_view part : {".fc2.weight", ".out_proj.weight"})
    if (has(part)) return Join::kColumns;
  return Join::kFirst;
}

/// The three projections of a fused one, in the order of its rows.
constexpr std::array<std::string_view, 3> kProjections{".k_proj.", ".v_proj.", ".q_proj."};

std::string projection_name(const std::string& fused, std::string_view projection) {
  std::string name = fused;
  return name.replace(name.find(kFused), kFused.size(), projection);
}

std::array<TensorView, 3> split_projection(const std::string& name, const TensorView& fused,
                                           const std::string& file) {
  if (fused.shape.empty() || fused.shape[0] % 3 != 0)
    fail(file, "model",
         "'" + printable(name) + "' has the shape " + shape_text(fused.shape) +
             ", expected three projections");
  const std::int64_t rows = fused.shape[0] / 3;
  return {rows_of(fused, 0, rows), rows_of(fused, rows, rows), rows_of(fused, 2 * rows, rows)};
}

bool has_flat_parameters(const NamedTensors& model) {
  return std::ranges::any_of(
      model, [](const auto& item) { return item.first.find("flat_param") != std::string::npos; });
}

}  // namespace

NamedTensors unflattened(std::span<const PickleNode* const> shards, const std::string& file) {
  std::vector<NamedTensors> models;
  std::vector<Metadata> metadata;
  for (const PickleNode* const root : shards) {
    const PickleNode* const model = root->find("model");
    if (model == nullptr) fail(file, {}, "a shard has no 'model', expected a checkpoint");
    models.push_back(named_tensors(*model, file, "model"));
    metadata.emplace_back(*root, file);
  }
  if (shards.size() == 1 && !has_flat_parameters(models.front())) return models.front();
  for (const Metadata& part : metadata)
    if (!part.exists())
      fail(file, {},
           "holds parameters that FSDP flattened, and no shard_metadata that say what is in them: "
           "expected a model that its program has consolidated");
  std::vector<ByName> tensors;
  for (const NamedTensors& model : models) tensors.push_back(by_name(model));
  Model out(file);
  const auto& modules = metadata.front().parameters();
  for (std::size_t m = 0; m < modules.size(); ++m) {
    const PickleNode* const place = modules[m]->find("fsdp_path");
    const std::string path =
        place == nullptr || place->is_none() ? std::string() : metadata.front().text(place);
    const PickleDict& params = metadata.front().params_of(m);
    for (std::size_t p = 0; p < params.items.size(); ++p) {
      const std::string full = below(path, metadata.front().text(params.items[p].first));
      take_apart(flat_parameter(tensors, metadata, m, p, full, file), *params.items[p].second,
                 metadata.front(), path, file, out);
    }
    copy_shared(*modules[m], metadata.front(), out);
  }
  for (const PickleNode* const buffer : metadata.front().buffers()) {
    const std::string name = metadata.front().text(buffer);
    if (const TensorView* const view = find(tensors.front(), name)) out.add(name, *view);
  }
  return out.take();
}

NamedTensors joined_parts(std::span<const NamedTensors> parts, bool tied, const std::string& file) {
  constexpr std::string_view kOutput = "decoder.output_projection.weight";
  std::vector<ByName> tensors;
  for (const NamedTensors& part : parts) tensors.push_back(by_name(part));
  NamedTensors model;
  for (const auto& [name, first] : parts.front()) {
    if (name == kOutput && tied) continue;
    if (name == kOutput && parts.size() > 1)
      throw UnsupportedError(printable(file, 4096) + ": '" + std::string(kOutput) +
                             "' is in several parts, expected one that is the embedding");
    std::vector<TensorView> pieces;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const TensorView* const found = find(tensors[i], name);
      if (found == nullptr)
        fail(file, "model", concat("part ", i, " has no '", printable(name), "'"));
      pieces.push_back(*found);
    }
    const auto join = [&](std::span<const TensorView> of, auto&& how, const std::string& to) {
      TensorView view;
      if (const std::string problem = how(of, view); !problem.empty())
        fail(file, "model", "'" + printable(name) + "' " + problem);
      model.emplace_back(to, std::move(view));
    };
    switch (join_of(name)) {
      case Join::kFirst:
        model.emplace_back(name, first);
        break;
      case Join::kRows:
        join(pieces, join_rows, name);
        break;
      case Join::kColumns:
        join(pieces, join_columns, name);
        break;
      case Join::kThirds:
        for (std::size_t p = 0; p < kProjections.size(); ++p) {
          std::vector<TensorView> thirds;
          for (const TensorView& piece : pieces)
            thirds.push_back(split_projection(name, piece, file)[p]);
          join(thirds, join_rows, projection_name(name, kProjections[p]));
        }
    }
  }
  return model;
}

}  // namespace compat
