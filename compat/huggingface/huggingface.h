// Hugging Face's OPT, GPT-2 and XGLM seen as fairseq's transformer_lm: names, configuration,
// shapes. Map: compat/huggingface/huggingface.md
#pragma once

#include <string>

#include "compat/fairseq/config.h"
#include "compat/huggingface/huggingface_config.h"
#include "compat/torch/named_tensors.h"

namespace compat {

struct HuggingFaceModel {
  NamedTensors tensors;  ///< fairseq's names, in its order.
  ConfigValue cfg;       ///< {"model": {...}, "task": {...}}
};

/// The same model under fairseq's names: views of `tensors`, but for GPT-2's positions, which gain
/// two rows. `file` is config.json, for messages. FormatError for tensors that are missing or not
/// of the shape that `config` says. UnsupportedError for tensors that are left over or hold no
/// floating point, for names with a wrapper's prefix, and for a model without an output layer.
HuggingFaceModel read_hugging_face(const NamedTensors& tensors, const HuggingFaceConfig& config,
                                   const std::string& file);

/// Whether these are Hugging Face's names and none of fairseq's. (OPT's base model has names that
/// are both.)
bool has_hugging_face_names(const NamedTensors& tensors);

}  // namespace compat
