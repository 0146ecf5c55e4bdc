// Hugging Face's OPT, GPT-2 and XGLM seen as fairseq's transformer_lm: names, configuration, shapes. Map:
// compat/huggingface.md
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "compat/config.h"
#include "compat/tensor.h"

namespace compat {

struct HuggingFaceModel {
  std::vector<std::pair<std::string, TensorView>> tensors;  ///< fairseq's names, in its order.
  ConfigValue cfg;                                          ///< {"model": {...}, "task": {...}}
};

/// The same model under fairseq's names: views of `tensors`, but for GPT-2's positions, which gain two rows. `config` is the
/// text of config.json, `file` for messages. UnsupportedError for another model_type or a switch fairseq's model does not have
/// (it names every one), FormatError for tensors that are missing or not of the shape that config.json says.
HuggingFaceModel read_hugging_face(const std::vector<std::pair<std::string, TensorView>>& tensors, const std::string& config,
                                   const std::string& file);

/// Whether these are Hugging Face's names.
bool has_hugging_face_names(const std::vector<std::pair<std::string, TensorView>>& tensors);

/// The tensors of a folder: model.safetensors, the files of model.safetensors.index.json, or pytorch_model.bin.
/// IoError when none is there.
std::vector<std::pair<std::string, TensorView>> hugging_face_tensors(const std::filesystem::path& folder);

}  // namespace compat
