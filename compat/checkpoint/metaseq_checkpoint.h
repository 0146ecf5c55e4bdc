// Reads metaseq's checkpoints (OPT, c-BTM) as fairseq's. The layout: metaseq.md
#pragma once

#include <span>

#include "compat/torch/pickle_value.h"
#include "compat/torch/torch_file.h"

namespace compat {

/// Whether a checkpoint's dict is metaseq's: it has FSDP's metadata or flat parameters, or settings
/// that fairseq does not have. Fused projections alone do not tell: their order would be a guess.
bool is_metaseq_checkpoint(const PickleNode& root, const std::string& file);

/// A file of a model: a part of model parallelism, and in it a shard of FSDP.
struct MetaseqShard {
  TorchFile file;
  std::size_t part = 0;
};

/// {args, cfg, model} with fairseq's names and settings. `shards` are ordered by part and, in a
/// part, by shard. Tensors are views of the files, or computed from several of them when they are
/// read. FormatError for tensors that do not fit each other or the metadata, UnsupportedError for a
/// network that fairseq's settings cannot express.
PickleTree metaseq_checkpoint(std::span<const MetaseqShard> shards);

}  // namespace compat
