#include "converters/model_file.h"

#include <fstream>

#include "compat/base/error.h"
#include "compat/fairseq/network_settings.h"
#include "compat/huggingface/huggingface_folder.h"
#include "compat/huggingface/safetensors.h"
#include "compat/io/mapped_file.h"
#include "converters/pickled_tensors.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

/// Opens the path as a checkpoint. For a file that is not a model of fairseq, stores the reason.
void try_as_checkpoint(const fs::path& path, ModelFile& file) {
  try {
    file.checkpoint = compat::Checkpoint::open(path);
    file.kind = "checkpoint";
  } catch (const compat::FormatError& error) {
    file.why_not = error.what();
    file.is_damaged = true;
  } catch (const compat::UnsupportedError& error) {
    file.why_not = error.what();
  }
}

ModelFile open_torch_file(const fs::path& path) {
  const compat::TorchFile torch_file = compat::load_torch_file(path);
  const compat::PickleNode& root = *torch_file.tree.root;
  ModelFile file{"torch file",
                 {torch_file.path},
                 torch_file.layout == compat::TorchLayout::kZip ? "zip" : "legacy",
                 {},
                 {},
                 false,
                 torch_file.tree,
                 {},
                 !torch_file.has_checksums};
  if (compat::Checkpoint::is_shared_half(path) && root.find("model") != nullptr) {
    compat::model_tensors(root, torch_file.path);
    file.kind = "demix shared part";
  } else if (root.find("model") != nullptr &&
             (root.find("cfg") != nullptr || root.find("args") != nullptr)) {
    file.checkpoint = compat::Checkpoint::open(path);
    file.files = file.checkpoint->files();
    file.tree = file.checkpoint->tree();
    file.kind = file.checkpoint->format() == "metaseq" ? "metaseq checkpoint"
                : compat::has_mixtures(file.checkpoint->config()) && file.files.size() > 1
                    ? "moe checkpoint"
                : file.files.size() > 1 ? "demix checkpoint"
                                        : "checkpoint";
  } else {
    file.why_not = "without 'model' and 'cfg' or 'args', the keys of fairseq's checkpoints";
  }
  return file;
}

}  // namespace

bool looks_like_model_file(const fs::path& path) {
  for (const std::string_view extension : {".pt", ".pth", ".ckpt", ".safetensors"})
    if (path.extension() == extension) return true;
  std::ifstream in(path, std::ios::binary);
  char head[10] = {};
  in.read(head, sizeof head);
  if (in.gcount() < 2) return false;
  if (std::string_view(head, sizeof head) == "version ht")
    return true;  // a Git LFS pointer, which opening reports
  const bool torch =
      std::string_view(head, 2) == "PK" || (head[0] == '\x80' && head[1] >= 2 && head[1] <= 5);
  return torch || compat::is_safetensors(
                      std::as_bytes(std::span(head, static_cast<std::size_t>(in.gcount()))));
}

ModelFile open_model_file(const fs::path& path) {
  if (compat::is_hugging_face_folder(path)) {
    ModelFile file{"hugging face folder",
                   {path.string()},
                   "hugging face",
                   {},
                   {},
                   false,
                   {},
                   compat::hugging_face_tensors(path),
                   false};
    try_as_checkpoint(path, file);
    return file;
  }
  const auto mapped = compat::MappedFile::open(path);
  if (!compat::is_safetensors(mapped->bytes()) && path.extension() != ".safetensors")
    return open_torch_file(path);
  ModelFile file{"safetensors file",
                 {path.string()},
                 "safetensors",
                 {},
                 {},
                 false,
                 {},
                 compat::load_safetensors(mapped).tensors,
                 false};
  try_as_checkpoint(path, file);
  return file;
}

void for_each_tensor(
    const ModelFile& file,
    const std::function<void(const std::string& name, const compat::PickleNode* node,
                             const compat::TensorView& view)>& visit) {
  if (file.tree.root != nullptr)
    for_each_tensor(*file.tree.root,
                    [&](const std::string& name, const compat::PickleNode& node,
                        const compat::TensorView& view) { visit(name, &node, view); });
  for (const auto& [name, view] : file.tensors) visit(name, nullptr, view);
}

}  // namespace converters
