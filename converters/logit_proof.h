// Proof that two forms of a model are one: btm eval-lm scores the same random tokens with both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace converters {

/// The program btm beside this one; empty when it is not there.
std::filesystem::path btm_beside();

struct LogitProof {
  std::int64_t tokens = 0;
  double largest_difference = 0;  ///< of a token's natural log-probability
};

/// Scores random tokens (ids 4 to vocab - 1, blocks of `block` tokens) with both models, a
/// checkpoint or folder each. std::runtime_error with btm's own message when it cannot, FormatError
/// naming `copy` when a difference is beyond `tolerance` + 1e-6 of the log-probability.
LogitProof prove_same_logits(const std::filesystem::path& btm,
                             const std::filesystem::path& original,
                             const std::filesystem::path& copy, std::int64_t vocab,
                             std::int64_t block, double tolerance);

}  // namespace converters
