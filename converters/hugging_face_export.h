// fairseq's transformer_lm as a Hugging Face model: OPT, GPT-2 or XGLM. Map:
// compat/huggingface/huggingface.md
#pragma once

#include <string>

#include "compat/checkpoint/checkpoint.h"

namespace converters {

struct HuggingFaceExport {
  std::string model_type;              ///< opt, gpt2 or xglm
  std::string config;                  ///< config.json
  compat::NamedTensors tensors;        ///< Hugging Face's names; computed when they are written
  compat::ConfigValue fairseq_config;  ///< What undo_export() needs: the checkpoint's, without a
                                       ///< norm that fairseq ignores
};

/// `model_type`: opt, gpt2, xglm, or auto (XGLM for sinusoidal pre-norm models, else OPT). Weights
/// become `dtype`. UnsupportedError naming what the model has and the architecture lacks,
/// FormatError for missing tensors.
HuggingFaceExport export_hugging_face(const compat::Checkpoint& checkpoint,
                                      const std::string& model_type, compat::DType dtype);

/// A model read from a Hugging Face folder with what the export had to change undone where that is
/// exact: `original` is the configuration that the export kept. Empty when tensors or settings were
/// changed since.
compat::NamedTensors undo_export(const compat::Checkpoint& mapped, const compat::Config& original);

}  // namespace converters
