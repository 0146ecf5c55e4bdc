#include "compat/safetensors_checkpoint.h"

#include "compat/byte_reader.h"
#include "compat/config_json.h"
#include "compat/error.h"
#include "compat/huggingface.h"
#include "compat/huggingface_folder.h"
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

HuggingFaceConfig read_config(const fs::path& path) {
  const auto file = MappedFile::open(path);
  return parse_hugging_face_config(as_chars(file->bytes()), file->path());
}

PickleTree mapped_checkpoint(const NamedTensors& tensors, const HuggingFaceConfig& config, const fs::path& path) {
  const HuggingFaceModel model = read_hugging_face(tensors, config, path.string());
  return tree_of(model.tensors, model.cfg, false);
}

}  // namespace

PickleTree hugging_face_checkpoint(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  const HuggingFaceConfig config = read_config(path);
  return mapped_checkpoint(hugging_face_tensors(folder), config, path);
}

PickleTree safetensors_checkpoint(std::shared_ptr<const MappedFile> file) {
  const SafetensorsFile contents = load_safetensors(std::move(file));
  const bool own_names = !has_hugging_face_names(contents.tensors);
  for (const char* const key : {kCfgMetadata, kArgsMetadata})
    if (const std::string* text = own_names ? contents.find_metadata(key) : nullptr)
      return tree_of(contents.tensors, config_from_json(*text, contents.path), key == kArgsMetadata);
  const fs::path config = fs::path(contents.path).parent_path() / "config.json";
  if (!fs::exists(config))
    throw FormatError({contents.path, {}, {}},
                      own_names ? "its __metadata__ holds neither fairseq_cfg nor fairseq_args, expected a configuration"
                                : "holds a Hugging Face model, expected its config.json beside it");
  return mapped_checkpoint(contents.tensors, read_config(config), config);
}

}  // namespace compat
