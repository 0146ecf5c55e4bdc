// The checkpoints of a merge, and whether they fit together.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "compat/checkpoint/checkpoint.h"

namespace btm {

/// The tensor of this name; null when the model has none. The output projection of a tied model is
/// its embedding: fairseq before 0.10 did not save it, later versions do.
const compat::TensorView* find_tensor(const compat::Checkpoint& model, std::string_view name);

/// Whether the output projection of a model is its embedding. A file may hold it all the same.
bool is_tied(const compat::Checkpoint& model);

/// Opens models, each a file or a folder (compat::resolve_model).
std::vector<compat::Checkpoint> open_models(std::span<const std::filesystem::path> files);

/// UsageError when `output` is a file of one of the models. Overwriting an input would make the
/// merge impossible to repeat.
void refuse_input_as_output(const std::filesystem::path& output,
                            std::span<const compat::Checkpoint> models);

/// FormatError where two dictionaries differ. They are known by the digest in the checkpoint or,
/// for fairseq's checkpoints, from the data that cfg names, if it still exists. Then FormatError
/// that lists how another model differs from the first: missing and unexpected tensors, shapes,
/// settings that change what the network computes, and tensors that the first model shares and the
/// other does not.
void check_alike(std::span<const compat::Checkpoint> models);

/// Whether a tensor is merged. It must be floating-point. `decoder.version` is not: fairseq drops
/// the final layer norm of a model whose version is below 3. The sinusoidal positions'
/// `_float_tensor` is not: it is uninitialised.
bool is_merged(const std::string& name, const compat::TensorView& view) noexcept;

/// For each tensor of `model` the first one with the same memory, usually itself.
std::vector<std::size_t> first_of_tied(const compat::NamedTensors& model);

}  // namespace btm
