// Proves that two forms of a model are equal: btm eval-lm scores the same random tokens with both.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace converters {

/// The path of the program btm beside this one. Empty when it does not exist.
std::filesystem::path btm_beside();

struct LogitProof {
  std::int64_t tokens = 0;
  double largest_difference = 0;  ///< between the natural log-probabilities of a token
};

/// Scores random tokens (ids 4 to vocab - 1, blocks of `block` tokens) with both models, each a
/// checkpoint or folder. FormatError that names `copy` when a difference exceeds `tolerance` + 1e-6
/// of the log-probability. std::runtime_error with btm's message when btm fails.
LogitProof prove_same_logits(const std::filesystem::path& btm,
                             const std::filesystem::path& original,
                             const std::filesystem::path& copy, std::int64_t vocab,
                             std::int64_t block, double tolerance);

}  // namespace converters
