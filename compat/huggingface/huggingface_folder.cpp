#include "compat/huggingface/huggingface_folder.h"

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/fairseq/config_json.h"
#include "compat/huggingface/safetensors.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/torch/torch_file.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

using LoadFile = NamedTensors (*)(const fs::path&);

NamedTensors load_safetensors_file(const fs::path& path) { return load_safetensors(path).tensors; }

NamedTensors load_torch_state(const fs::path& path) {
  const TorchFile file = load_torch_file(path);
  return named_tensors(*file.tree.root, file.path);
}

/// The file names that transformers gives the weights, in the order in which it searches them.
struct WeightFile {
  const char* name;
  LoadFile load;
};
constexpr std::array kWeightFiles{WeightFile{"model.safetensors", load_safetensors_file},
                                  WeightFile{"pytorch_model.bin", load_torch_state}};

fs::path index_of(const fs::path& folder, const WeightFile& file) {
  return folder / (std::string(file.name) + ".index.json");
}

/// The file of each tensor, from weight_map.
std::map<std::string, std::string> read_weight_map(const fs::path& path) {
  const auto file = MappedFile::open(path);
  const auto index = parse_json_object(as_chars(file->bytes()), {file->path(), {}, {}},
                                       "an index of tensors by file");
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object())
    throw FormatError({file->path(), {}, {}}, "has no weight_map, expected tensors by file");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, value] : map->items()) {
    const auto* name = value.get_ptr<const std::string*>();
    // A name must be that of a file beside the index: no path is followed.
    if (name == nullptr || name->find('/') != std::string::npos)
      throw FormatError({file->path(), {}, {}}, "'" + printable(tensor) + "' is in " +
                                                    printable(value.dump()) +
                                                    ", expected a file's name");
    files[tensor] = *name;
  }
  return files;
}

NamedTensors load_shards(const fs::path& index, LoadFile load) {
  const auto file_of = read_weight_map(index);
  std::set<std::string> files;
  for (const auto& [tensor, file] : file_of) files.insert(file);
  NamedTensors tensors;
  std::map<std::string, std::string> found_in;
  for (const std::string& file : files) {
    for (auto& [name, view] : load(index.parent_path() / file)) {
      const auto named = file_of.find(name);
      if (named != file_of.end() && named->second != file) continue;
      const auto [other, first] = found_in.emplace(name, file);
      if (!first)
        throw FormatError({index.string(), {}, {}},
                          "'" + printable(name) + "' is in " + printable(other->second) +
                              " and in " + printable(file) +
                              ", expected weight_map to name one of them");
      tensors.emplace_back(name, std::move(view));
    }
  }
  for (const auto& [name, file] : file_of)
    if (!found_in.contains(name))
      throw FormatError({index.string(), {}, {}}, "weight_map places '" + printable(name) +
                                                      "' in " + printable(file) +
                                                      ", which has no such tensor");
  return tensors;
}

}  // namespace

bool is_hugging_face_folder(const fs::path& path) {
  if (!fs::is_directory(path) || !fs::exists(path / "config.json")) return false;
  for (const WeightFile& file : kWeightFiles)
    if (fs::exists(path / file.name) || fs::exists(index_of(path, file))) return true;
  const auto config = MappedFile::open(path / "config.json");
  return config_from_json(as_chars(config->bytes()), config->path()).find("model_type") != nullptr;
}

NamedTensors hugging_face_tensors(const fs::path& folder) {
  for (const WeightFile& file : kWeightFiles) {
    if (const fs::path path = folder / file.name; fs::exists(path)) return file.load(path);
    if (const fs::path path = index_of(folder, file); fs::exists(path))
      return load_shards(path, file.load);
  }
  throw IoError(
      folder.string(),
      "holds no weights (model.safetensors or pytorch_model.bin, or either's .index.json)");
}

}  // namespace compat
