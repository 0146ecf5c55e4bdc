// Log-probabilities that a model gave the targets of a data set, kept in a folder under the hash of everything they rest on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "btm/evaluator/eval_lm.h"
#include "compat/checkpoint.h"
#include "compat/digest_cache.h"

namespace btm {

class MatrixCache {
 public:
  /// Creates the folder. IoError when it cannot be.
  explicit MatrixCache(std::filesystem::path folder);
  ~MatrixCache() { digests_.save(); }
  MatrixCache(const MatrixCache&) = delete;
  MatrixCache& operator=(const MatrixCache&) = delete;

  /// Of a checkpoint's files and --model-overrides.
  std::string model_hash(const compat::Checkpoint& checkpoint, const EvalLmOptions& options);
  /// Of the split's files, its dictionary, and all options that change which tokens are scored, or how: `options` is of the
  /// split PREFIX, and samples longer than `max_positions` are left out.
  std::string data_hash(const EvalLmOptions& options, const std::filesystem::path& prefix, const std::filesystem::path& dictionary,
                        std::int64_t max_positions);

  /// The scores kept for a model on a data set. Nothing when there are none; a damaged file counts as none.
  std::optional<std::vector<float>> find(const std::string& model_hash, const std::string& data_hash) const;
  bool contains(const std::string& model_hash, const std::string& data_hash) const;
  void put(const std::string& model_hash, const std::string& data_hash, std::span<const float> scores) const;

 private:
  std::filesystem::path file_of(const std::string& model_hash, const std::string& data_hash) const;
  std::filesystem::path folder_;
  compat::DigestCache digests_;
};

}  // namespace btm
