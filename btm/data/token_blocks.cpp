#include "btm/data/token_blocks.h"

#include <algorithm>
#include <array>
#include <string>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

constexpr std::int64_t kDocumentSeparator = 1;  ///< Tokens of a sequence that ends a document.

std::vector<TokenBlock> every_block_size(std::span<const std::int32_t> sizes,
                                         std::int64_t block_size) {
  std::int64_t total = 0;
  for (const std::int32_t size : sizes) total += size;
  std::vector<TokenBlock> blocks;
  blocks.reserve(static_cast<std::size_t>((total + block_size - 1) / block_size));
  std::int64_t sequence = 0, offset = 0;
  for (std::int64_t start = 0; start < total; start += block_size) {
    const std::int64_t length = std::min(block_size, total - start);
    // A block starts in the sequence that holds its first token; empty sequences hold none.
    while (offset >= sizes[static_cast<std::size_t>(sequence)])
      offset -= sizes[static_cast<std::size_t>(sequence++)];
    blocks.push_back({sequence, offset, length});
    offset += length;
  }
  return blocks;
}

std::vector<TokenBlock> whole_sequences(std::span<const std::int32_t> sizes,
                                        std::int64_t block_size, bool documents) {
  std::vector<TokenBlock> blocks;
  TokenBlock block;
  // complete_doc drops blocks of one token.
  const auto emit = [&] {
    if (block.length > (documents ? 1 : 0)) blocks.push_back(block);
    block.length = 0;
  };
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::int64_t size = sizes[i];
    if (documents && size == kDocumentSeparator) {
      emit();
      continue;
    }
    if (block.length > 0 && block.length + size > block_size) emit();
    if (block.length == 0) block.sequence = static_cast<std::int64_t>(i);
    block.length += size;
  }
  emit();
  return blocks;
}

}  // namespace

SampleBreakMode parse_sample_break_mode(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames{"none", "eos", "complete", "complete_doc"};
  if (name.empty()) return SampleBreakMode::kNone;
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end())
    throw compat::UsageError("--sample-break-mode '" + compat::printable(name) +
                             "', expected none, eos, complete or complete_doc");
  return static_cast<SampleBreakMode>(found - kNames.begin());
}

std::vector<TokenBlock> make_token_blocks(std::span<const std::int32_t> sizes, SampleBreakMode mode,
                                          std::int64_t block_size) {
  if (mode == SampleBreakMode::kEos) {
    std::vector<TokenBlock> blocks;
    blocks.reserve(sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i)
      blocks.push_back({static_cast<std::int64_t>(i), 0, sizes[i]});
    return blocks;
  }
  if (block_size < 1)
    throw compat::UsageError(
        compat::concat("--tokens-per-sample ", block_size, ", expected at least 1"));
  if (mode == SampleBreakMode::kNone) return every_block_size(sizes, block_size);
  return whole_sequences(sizes, block_size, mode == SampleBreakMode::kCompleteDoc);
}

TokenBlockDataset::TokenBlockDataset(std::shared_ptr<const compat::IndexedDataset> tokens,
                                     SampleBreakMode mode, std::int64_t block_size,
                                     std::int64_t eos, std::optional<std::int64_t> first_token)
    : tokens_(std::move(tokens)),
      blocks_(make_token_blocks(tokens_->sizes(), mode, block_size)),
      eos_(eos),
      first_token_(first_token) {
  if (tokens_->total_tokens() == 0)
    throw compat::FormatError({tokens_->path(), {}, {}}, "holds no tokens, expected a data set");
}

void TokenBlockDataset::read(std::int64_t i, LmSample& sample) const {
  const TokenBlock& block = blocks_[static_cast<std::size_t>(i)];
  const std::size_t lead = first_token_ ? 1 : 0;
  const auto length = static_cast<std::size_t>(block.length);
  sample.target.resize(lead + length);
  sample.source.resize(lead + length);
  sample.first_scored = static_cast<std::int64_t>(lead);
  std::int64_t sequence = block.sequence, offset = block.offset;
  for (std::size_t done = 0; done < length; ++sequence, offset = 0) {
    const std::int64_t left = tokens_->sizes()[static_cast<std::size_t>(sequence)] - offset;
    const std::size_t count = std::min(length - done, static_cast<std::size_t>(left));
    tokens_->read(sequence, offset, std::span(sample.target).subspan(lead + done, count));
    done += count;
  }
  if (first_token_) sample.source[0] = sample.target[0] = *first_token_;
  if (length == 0) return;
  sample.source[lead] = eos_;
  if (block.offset > 0)
    tokens_->read(block.sequence, block.offset - 1, std::span(sample.source).subspan(lead, 1));
  std::copy_n(sample.target.begin() + static_cast<std::ptrdiff_t>(lead), length - 1,
              sample.source.begin() + static_cast<std::ptrdiff_t>(lead) + 1);
}

}  // namespace btm
