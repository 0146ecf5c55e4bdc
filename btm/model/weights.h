// A model's parameters from a checkpoint.
#pragma once

#include <memory>

#include "btm/model/transformer_lm.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

struct Precision {
  at::ScalarType compute = at::kFloat;
  /// Weights are first rounded to this dtype: --fp16 and --bf16 on a CPU, which computes in fp32.
  at::ScalarType rounding = at::kFloat;
  at::Device device = at::kCPU;
  /// How a CPU multiplies: --bf16 and --fp32-matmul. Anything but kFp32 packs the model.
  Products products = Products::kFp32;
  bool as_stored = false;  ///< On a CPU, keep matrices mapped in the file's half precision until
                           ///< TransformerLM::convert_to_fp32().
  /// On a CPU, copy matrices that could stay mapped: huge pages (use_page_arena) are read faster.
  bool copies = false;
};

/// The model that `checkpoint.config()` describes, without its parameters. FormatError as of
/// load_model() for tensors and a dictionary that do not fit it. Reads no tensor but the version.
std::unique_ptr<TransformerLM> outline_model(const compat::Checkpoint& checkpoint,
                                             const compat::Dictionary& dictionary,
                                             const std::string& dictionary_file);

/// Builds the model that `checkpoint.config()` describes and loads its parameters and nothing else
/// of the file. Upgrades older layouts as fairseq does (fused projections, early versions, untied
/// `embed_out`). FormatError names every missing, unexpected and misshapen tensor.
/// `dictionary_file` is for the message when the dictionary does not fit the model.
std::unique_ptr<TransformerLM> load_model(const compat::Checkpoint& checkpoint,
                                          const compat::Dictionary& dictionary,
                                          const std::string& dictionary_file,
                                          const Precision& precision);

/// FormatError as of load_weights() for tensors that do not fit `model`. Reads none but the
/// version.
void check_weights(TransformerLM& model, const compat::NamedTensors& tensors,
                   const std::string& file);

/// Loads the tensors of `file` into an existing `model`, whatever configuration the file has.
/// Otherwise as load_model().
void load_weights(TransformerLM& model, const compat::NamedTensors& tensors,
                  const std::string& file, const Precision& precision);

}  // namespace btm
