#include "compat/checkpoint/safetensors_checkpoint.h"

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/fairseq/config_json.h"
#include "compat/fairseq/dictionary_digest.h"
#include "compat/huggingface/huggingface.h"
#include "compat/huggingface/huggingface_folder.h"
#include "compat/huggingface/safetensors.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

bool stores_configuration(const SafetensorsFile& file) {
  return file.find_metadata(kCfgMetadata) != nullptr ||
         file.find_metadata(kArgsMetadata) != nullptr;
}

/// The entries of `metadata` as {args, cfg, dictionary_sha256}. An absent entry is None.
PickleTree stored_entries(const SafetensorsFile& file) {
  PickleTree tree{std::make_shared<PickleArena>(), nullptr};
  PickleArena& arena = *tree.arena;
  const std::string *const args = file.find_metadata(kArgsMetadata),
                           *const cfg = file.find_metadata(kCfgMetadata),
                           *const dictionary = file.find_metadata(kDictionaryKey);
  PickleDict root;
  arena.put(root, "args",
            args == nullptr ? arena.none()
                            : namespace_to_pickle(arena, config_from_json(*args, file.path)));
  arena.put(
      root, "cfg",
      cfg == nullptr ? arena.none() : config_to_pickle(arena, config_from_json(*cfg, file.path)));
  if (dictionary != nullptr) arena.put(root, kDictionaryKey, arena.string(*dictionary));
  tree.root = arena.make(std::move(root));
  return tree;
}

HuggingFaceConfig read_config(const fs::path& path) {
  const auto file = MappedFile::open(path);
  return parse_hugging_face_config(as_chars(file->bytes()), file->path());
}

void add_model(PickleTree& tree, const NamedTensors& tensors) {
  PickleArena& arena = *tree.arena;
  PickleDict model;
  model.ordered = true;
  for (const auto& [name, view] : tensors) arena.put(model, name, arena.tensor(view));
  arena.put(*tree.root->get_if<PickleDict>(), "model", arena.make(std::move(model)));
}

/// The configuration in the metadata of the file, or of the folder's model.safetensors. Empty when
/// there is none.
SafetensorsFile kept_file(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path / "model.safetensors" : path;
  if (!fs::is_regular_file(file)) return {};
  auto mapped = MappedFile::open(file);
  return is_safetensors(mapped->bytes()) ? load_safetensors(std::move(mapped)) : SafetensorsFile{};
}

/// A Hugging Face model with its config.json as fairseq's configuration.
PickleTree mapped_checkpoint(const NamedTensors& tensors, const HuggingFaceConfig& config,
                             const fs::path& path, const std::string* dictionary) {
  const HuggingFaceModel model = read_hugging_face(tensors, config, path.string());
  PickleTree tree{std::make_shared<PickleArena>(), nullptr};
  PickleArena& arena = *tree.arena;
  PickleDict root;
  arena.put(root, "args", arena.none());
  arena.put(root, "cfg", config_to_pickle(arena, model.cfg));
  if (dictionary != nullptr) arena.put(root, kDictionaryKey, arena.string(*dictionary));
  tree.root = arena.make(std::move(root));
  add_model(tree, model.tensors);
  return tree;
}

}  // namespace

PickleTree hugging_face_checkpoint(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  const HuggingFaceConfig config = read_config(path);
  const SafetensorsFile kept = kept_file(folder);
  return mapped_checkpoint(hugging_face_tensors(folder), config, path,
                           kept.find_metadata(kDictionaryKey));
}

std::vector<std::pair<std::string, std::string>> checkpoint_metadata(const PickleNode& root,
                                                                     const std::string& file) {
  std::vector<std::pair<std::string, std::string>> metadata;
  const PickleNode *const cfg = root.find("cfg"), *const args = root.find("args");
  if (cfg != nullptr && !cfg->is_none())
    metadata.emplace_back(kCfgMetadata,
                          config_to_json(Config::from_checkpoint(cfg, nullptr, file).root()));
  if (args != nullptr && !args->is_none())
    metadata.emplace_back(kArgsMetadata,
                          config_to_json(Config::from_checkpoint(nullptr, args, file).root()));
  if (std::string dictionary = kept_dictionary(root, file); !dictionary.empty())
    metadata.emplace_back(kDictionaryKey, std::move(dictionary));
  return metadata;
}

PickleTree stored_configuration(const fs::path& path) {
  const SafetensorsFile file = kept_file(path);
  return stores_configuration(file) ? stored_entries(file) : PickleTree{};
}

PickleTree safetensors_checkpoint(std::shared_ptr<const MappedFile> file) {
  const SafetensorsFile contents = load_safetensors(std::move(file));
  if (!has_hugging_face_names(contents.tensors) && stores_configuration(contents)) {
    PickleTree tree = stored_entries(contents);
    add_model(tree, contents.tensors);
    return tree;
  }
  const fs::path config = fs::path(contents.path).parent_path() / "config.json";
  if (!fs::exists(config))
    throw UnsupportedError(
        printable(contents.path, 4096) +
        (has_hugging_face_names(contents.tensors)
             ? ": holds a Hugging Face model, expected its config.json beside it"
             : ": its __metadata__ holds neither fairseq_cfg nor fairseq_args, expected a "
               "configuration"));
  return mapped_checkpoint(contents.tensors, read_config(config), config,
                           contents.find_metadata(kDictionaryKey));
}

}  // namespace compat
