// Exports fairseq's transformer_lm as a Hugging Face model: OPT, GPT-2 or XGLM. Table of names:
// compat/huggingface/huggingface.md
#pragma once

#include <string>

#include "compat/checkpoint/checkpoint.h"

namespace converters {

struct HuggingFaceExport {
  std::string model_type;        ///< opt, gpt2 or xglm
  std::string config;            ///< config.json
  compat::NamedTensors tensors;  ///< with Hugging Face's names, computed when they are written
  compat::ConfigValue fairseq_config;  ///< The checkpoint's configuration for undo_export(),
                                       ///< without a norm that fairseq ignores.
};

/// `model_type` is opt, gpt2, xglm, or auto (XGLM for pre-norm models with sinusoidal positions,
/// else OPT). Weights are converted to `dtype`. UnsupportedError that names the settings that the
/// architecture lacks. FormatError for missing tensors.
HuggingFaceExport export_hugging_face(const compat::Checkpoint& checkpoint,
                                      const std::string& model_type, compat::DType dtype);

/// Undoes the changes of an export in a model that was read from a Hugging Face folder, when that
/// is exact. `original` is the configuration that the export stored. Empty when tensors or settings
/// have changed since.
compat::NamedTensors undo_export(const compat::Checkpoint& mapped, const compat::Config& original);

}  // namespace converters
