// The names, tensors and settings of a mixture of experts' checkpoint, as
// compat/fairseq/mixture_of_experts.md describes it. No LibTorch here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "btm/model/routing.h"
#include "compat/checkpoint/checkpoint.h"

namespace btm {

/// The tensors of a feed-forward block, in fairseq's order.
inline constexpr const char* kBlockTensors[] = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};

std::string block_tensor(std::size_t layer, std::string_view part);
std::string expert_tensor(std::size_t layer, std::size_t expert, std::string_view part);
std::string gate_tensor(std::size_t layer);

/// The number of layers of a dense model. FormatError for a model that is a mixture already, or
/// whose layers lack a feed-forward block.
std::size_t dense_layers(const compat::Checkpoint& model);

/// [rows, columns] fp32.
compat::TensorView matrix_view(const std::vector<float>& values, std::int64_t rows,
                               std::int64_t columns);

/// `shared` with the feed-forward blocks of each layer replaced by its gate and those of the
/// experts. The gates are [experts, width], one a layer.
compat::NamedTensors mixed_tensors(const compat::NamedTensors& shared,
                                   std::span<const compat::Checkpoint> experts,
                                   std::span<const compat::TensorView> gates);

/// The settings that make a dense model's configuration that of a mixture, or change a mixture's.
compat::ConfigValue mixture_settings(const compat::Config& config,
                                     const std::vector<std::string>& names, Routing routing);

/// The dict of a checkpoint that was not trained yet. `settings` are cfg, or args where `flat`.
const compat::PickleNode* untrained_root(compat::PickleArena& arena,
                                         const compat::ConfigValue& settings, bool flat,
                                         const compat::NamedTensors& model);

/// FormatError for the first NaN or infinity among the feed-forward blocks of a dense model.
void check_blocks_finite(const compat::Checkpoint& model, std::size_t layers);

}  // namespace btm
