// A model's parameters from a checkpoint.
#pragma once

#include <memory>

#include "btm/model/transformer_lm.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

struct Precision {
  at::ScalarType compute = at::kFloat;
  /// Weights are rounded to this first: --fp16 and --bf16 on a CPU, where the arithmetic stays
  /// fp32.
  at::ScalarType rounding = at::kFloat;
  at::Device device = at::kCPU;
  bool as_stored = false;  ///< On a CPU matrices may stay mapped in the file's half precision, for
                           ///< TransformerLM::settle() to convert.
};

/// The model that `checkpoint.config()` describes, without its parameters. FormatError as
/// load_model's for tensors and a dictionary that do not fit it; no tensor is read (but for the
/// version).
std::unique_ptr<TransformerLM> outline_model(const compat::Checkpoint& checkpoint,
                                             const compat::Dictionary& dictionary,
                                             const std::string& dictionary_file);

/// Builds the model that `checkpoint.config()` describes and loads its parameters; what else the
/// file holds stays on disk. Older layouts are brought up to date as fairseq does (fused
/// projections, early versions, untied `embed_out`). FormatError naming every missing, unexpected
/// and misshapen tensor; `dictionary_file` is for the message when the dictionary does not fit the
/// model.
std::unique_ptr<TransformerLM> load_model(const compat::Checkpoint& checkpoint,
                                          const compat::Dictionary& dictionary,
                                          const std::string& dictionary_file,
                                          const Precision& precision);

/// FormatError as load_weights' for tensors that do not fit `model`; none is read (but for the
/// version).
void check_weights(TransformerLM& model, const compat::NamedTensors& tensors,
                   const std::string& file);

/// Loads a model that is there already from the tensors of `file`; its configuration is its own.
/// Otherwise as load_model().
void load_weights(TransformerLM& model, const compat::NamedTensors& tensors,
                  const std::string& file, const Precision& precision);

}  // namespace btm
