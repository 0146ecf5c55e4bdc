#include "compat/safetensors_checkpoint.h"

#include "compat/byte_reader.h"
#include "compat/config_json.h"
#include "compat/error.h"
#include "compat/huggingface.h"
#include "compat/safetensors.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

PickleTree tree_of(const std::vector<std::pair<std::string, TensorView>>& tensors, const ConfigValue& config, bool is_args) {
  PickleTree tree{std::make_shared<PickleArena>(), nullptr};
  PickleArena& arena = *tree.arena;
  PickleDict model, root;
  model.ordered = true;
  for (const auto& [name, view] : tensors) model.items.emplace_back(arena.string(name), arena.tensor(view));
  PickleNode* const node = config_to_pickle(arena, config);
  root.items.emplace_back(arena.string("args"), is_args ? node : arena.none());
  root.items.emplace_back(arena.string("cfg"), is_args ? arena.none() : node);
  root.items.emplace_back(arena.string("model"), arena.make(std::move(model)));
  tree.root = arena.make(std::move(root));
  return tree;
}

PickleTree mapped_checkpoint(const std::vector<std::pair<std::string, TensorView>>& tensors, const fs::path& config_path) {
  const auto config = MappedFile::open(config_path);
  const HuggingFaceModel model = read_hugging_face(tensors, std::string(as_chars(config->bytes())), config->path());
  return tree_of(model.tensors, model.cfg, false);
}

}  // namespace

bool is_hugging_face_folder(const fs::path& path) {
  if (!fs::is_directory(path) || !fs::exists(path / "config.json")) return false;
  const auto config = MappedFile::open(path / "config.json");
  return config_from_json(as_chars(config->bytes()), config->path()).find("model_type") != nullptr;
}

PickleTree hugging_face_checkpoint(const fs::path& folder) {
  return mapped_checkpoint(hugging_face_tensors(folder), folder / "config.json");
}

PickleTree safetensors_checkpoint(std::shared_ptr<const MappedFile> file) {
  const SafetensorsFile contents = load_safetensors(std::move(file));
  if (!has_hugging_face_names(contents.tensors)) {
    for (const char* const key : {kCfgMetadata, kArgsMetadata})
      if (const std::string* text = contents.find_metadata(key))
        return tree_of(contents.tensors, config_from_json(*text, contents.path), key == kArgsMetadata);
    throw FormatError({contents.path, "__metadata__", {}}, "holds neither fairseq_cfg nor fairseq_args, expected a configuration");
  }
  const fs::path config = fs::path(contents.path).parent_path() / "config.json";
  if (!fs::exists(config))
    throw FormatError({contents.path, {}, {}}, "holds a Hugging Face model, expected its config.json beside it");
  return mapped_checkpoint(contents.tensors, config);
}

}  // namespace compat
