// Reads Hugging Face's OPT, GPT-2 and XGLM as fairseq's transformer_lm: names, configuration,
// shapes. Table of names: compat/huggingface/huggingface.md
#pragma once

#include <string>

#include "compat/fairseq/config.h"
#include "compat/huggingface/huggingface_config.h"
#include "compat/torch/named_tensors.h"

namespace compat {

struct HuggingFaceModel {
  NamedTensors tensors;  ///< With fairseq's names, in fairseq's order.
  ConfigValue cfg;       ///< {"model": {...}, "task": {...}}
};

/// The model under fairseq's names. Its tensors are views of `tensors`; only GPT-2's positions are
/// copied, because they gain two rows. `file` names config.json in messages. FormatError for
/// tensors that are missing or not of the shape in `config`. UnsupportedError for tensors that are
/// superfluous or not floating point, for names with a wrapper's prefix, and for a model without an
/// output layer.
HuggingFaceModel read_hugging_face(const NamedTensors& tensors, const HuggingFaceConfig& config,
                                   const std::string& file);

/// Whether these are Hugging Face's names rather than fairseq's. (Names of OPT's base model can be
/// both.)
bool has_hugging_face_names(const NamedTensors& tensors);

}  // namespace compat
