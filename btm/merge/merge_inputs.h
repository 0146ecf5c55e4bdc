// The checkpoints of a merge, and whether they fit together.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "compat/checkpoint/checkpoint.h"

namespace btm {

/// The tensor of this name; null when the model has none. fairseq before 0.10 left the output
/// projection of tied models out, later versions save it, and read both: it is the embedding then.
const compat::TensorView* find_tensor(const compat::Checkpoint& model, std::string_view name);

/// Opens checkpoints, DeMIX shards, and folders, which stand for their checkpoint_last.pt.
std::vector<compat::Checkpoint> open_models(std::span<const std::filesystem::path> files);

/// FormatError listing how another model differs from the first: tensors missing or unexpected,
/// shapes, configuration that changes what the network computes, and tensors that are one in the
/// first and two unequal ones in the other. Before that, FormatError where two dictionaries differ:
/// those whose digests are kept or, of fairseq's checkpoints, those of the data that cfg names,
/// where it is still on disk.
void check_alike(std::span<const compat::Checkpoint> models);

/// Whether a tensor is merged: floating-point, and neither `decoder.version` (fairseq drops the
/// final layer norm of a model whose version is below 3) nor the sinusoidal positions'
/// `_float_tensor`, which is memory nobody set.
bool is_merged(const std::string& name, const compat::TensorView& view) noexcept;

/// The tensors of `model` that share all their memory: each name's first namesake (itself, mostly).
std::vector<std::size_t> first_of_tied(const compat::NamedTensors& model);

}  // namespace btm
