// The checkpoints of fairseq's moe branch, STEM-rank-N.pt and STEM-shared.pt: every rank's file has
// its own experts, numbered from 0. Together they are one mixture of experts (moe_ranks.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "compat/fairseq/config.h"
#include "compat/torch/named_tensors.h"

namespace compat {

/// Whether the rank that was trained with this configuration is a part of a mixture. The ranks of
/// DeMIX, which have `desynchronize`, are models of their own.
bool is_moe_rank(const Config& config);

/// The same of a rank's file. False for a file that is no checkpoint: reading it tells why.
bool is_moe_rank(const std::filesystem::path& path);

/// STEM-rank-0.pt, STEM-rank-1.pt, ... beside `path`, which is one of them. FormatError where a
/// number is missing.
std::vector<std::filesystem::path> moe_rank_files(const std::filesystem::path& path);

/// What a rank's file holds.
struct MoeRank {
  std::string file;
  NamedTensors model;
  std::int64_t experts = 0;  ///< cfg's moe_expert_count, those of all ranks.
};

/// The experts of all ranks, which are given in order, under their numbers in the whole model:
/// expert i of rank r is number r * (experts / ranks) + i. Layers in file order, experts by number.
/// FormatError for a tensor that is no expert's, for ranks that cannot share the experts equally,
/// and for ranks with other tensors than the first.
NamedTensors joined_experts(std::span<const MoeRank> ranks);

}  // namespace compat
