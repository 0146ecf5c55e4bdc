// The tensors of a metaseq checkpoint under fairseq's names: FSDP's flat parameters taken apart,
// parts of model parallelism put together, fused projections split. The layout: metaseq.md
#pragma once

#include <span>
#include <string>

#include "compat/torch/named_tensors.h"

namespace compat {

/// The model of one part of model parallelism. `shards` are the dicts of its files, in their order;
/// `file` names the first, for messages. FormatError where a flat parameter has no metadata or does
/// not fit them.
NamedTensors unflattened(std::span<const PickleNode* const> shards, const std::string& file);

/// The model of all parts, with `self_attn.qkv_proj` split into k_proj, v_proj and q_proj (the
/// order of its rows). `tied`: the embedding is the output projection, and a part's own is left
/// out. FormatError for pieces that do not fit each other, UnsupportedError for an output
/// projection of its own in several parts.
NamedTensors joined_parts(std::span<const NamedTensors> parts, bool tied, const std::string& file);

}  // namespace compat
