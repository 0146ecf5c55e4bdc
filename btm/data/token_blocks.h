// fairseq's TokenBlockDataset and MonolingualDataset: a data-bin cut into the blocks a language
// model sees.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "btm/data/lm_dataset.h"
#include "compat/fairseq/indexed_dataset.h"

namespace btm {

/// --sample-break-mode.
enum class SampleBreakMode : std::uint8_t { kNone, kEos, kComplete, kCompleteDoc };

/// UsageError for a name that is not none, eos, complete or complete_doc ("" is none, as fairseq
/// has it).
SampleBreakMode parse_sample_break_mode(std::string_view name);

/// A block: `length` tokens from `offset` in sequence `sequence` on. It may run into the following
/// sequences.
struct TokenBlock {
  std::int64_t sequence = 0, offset = 0, length = 0;
};

/// Blocks of sequences of `sizes` tokens. kNone: the concatenation cut every `block_size` tokens;
/// sequence ends do not matter. kEos: one sequence each, whatever its size. kComplete: as many
/// whole sequences as fit. kCompleteDoc: the same within a document; a sequence of one token ends a
/// document and belongs to no block. A sequence longer than `block_size` is a block by itself.
std::vector<TokenBlock> make_token_blocks(std::span<const std::int32_t> sizes, SampleBreakMode mode,
                                          std::int64_t block_size);

/// Samples whose target is the block and whose source is the block moved right by one. The first
/// source token is the one before the block in its sequence, or eos at a sequence's start. With a
/// `first_token` both begin with it, and scoring starts after it.
class TokenBlockDataset final : public LmDataset {
 public:
  /// Shares `tokens`. FormatError for a data set without tokens.
  TokenBlockDataset(std::shared_ptr<const compat::IndexedDataset> tokens, SampleBreakMode mode,
                    std::int64_t block_size, std::int64_t eos,
                    std::optional<std::int64_t> first_token = std::nullopt);

  std::int64_t size() const noexcept override { return static_cast<std::int64_t>(blocks_.size()); }
  std::int64_t num_tokens(std::int64_t i) const noexcept override {
    return blocks_[static_cast<std::size_t>(i)].length;
  }
  void read(std::int64_t i, LmSample& sample) const override;

 private:
  std::shared_ptr<const compat::IndexedDataset> tokens_;
  std::vector<TokenBlock> blocks_;
  std::int64_t eos_;
  std::optional<std::int64_t> first_token_;
};

}  // namespace btm
