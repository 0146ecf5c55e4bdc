// Which experts of an ensemble to load where memory is too small for all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "btm/cli/text_models.h"

namespace btm {

/// "500M", "8G", "1.5GiB" in bytes; K, M, G and T are powers of 1024. UsageError for other text.
std::int64_t parse_memory(const std::string& text);

/// How many of the experts fit into `memory` bytes, each with keys and values for `tokens`: their
/// parameters in the flags' precision. Files are not read but for their headers.
std::size_t experts_that_fit(const TextModelOptions& options, const FoundModels& found,
                             std::int64_t memory, std::int64_t tokens);

/// What memory the models take, each with keys and values for at most `tokens`: "memory: 497.8 MB
/// of weights and 73.7 kB of keys and values a token for each of 8 experts; at most 2,080 tokens at
/// once, in all 5,209.1 MB". FormatError for models that do not fit their dictionary.
std::string memory_note(const TextModelOptions& options, const FoundModels& found,
                        std::int64_t tokens);

/// Keeps the `count` experts with the largest posterior, in their order: the mean over `prompts`
/// (their tokens) of prior times probability. Each expert is loaded once, alone. `options` gets the
/// prior of those that stay. Says what it keeps in a line. UsageError for cluster_prior.
void keep_experts(TextModelOptions& options, FoundModels& found,
                  std::span<const std::vector<std::int64_t>> prompts, std::size_t count,
                  const std::function<void(const std::string& line)>& say);

}  // namespace btm
