// Keeps the scores of experts on disk between runs. Another prior, k or type then costs no forward
// pass, and a further expert costs one. This file needs no LibTorch.
//
// There is a folder for each sequence of batches. Its name is a SHA-256 of the dictionary and of
// all tokens, targets and scored columns. Where an expert scores only some rows, it covers their
// numbers, too. A file MODEL.scores in it belongs to an expert. MODEL is a SHA-256 of the
// checkpoint's tensors and configuration and of the precision:
//   "BTMSCOR2", u64 N, N float32 log-probabilities (NaN where none was computed), SHA-256 of all
//   before (64 hexadecimal digits).
// *.digest files remember a checkpoint's hash under the paths and states (compat::FileState) of the
// files that it was read from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compat/checkpoint/checkpoint.h"
#include "compat/io/mapped_file.h"

namespace btm {

/// Log-probabilities that are in memory, or mapped from a file of the cache. A copy shares them.
class Scores {
 public:
  Scores() = default;
  explicit Scores(std::vector<float> values);
  /// `values` lie in `file`.
  Scores(std::shared_ptr<const compat::MappedFile> file, std::span<const float> values)
      : owner_(std::move(file)), values_(values) {}
  std::span<const float> values() const noexcept { return values_; }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const float> values_;
};

class ScoreCache {
 public:
  using Warn = std::function<void(const std::string& line)>;

  /// `folder` need not exist. Trouble with it is never an error: `warn` gets a line, and missing
  /// scores are computed.
  ScoreCache(std::filesystem::path folder, std::uint64_t limit_bytes, Warn warn);

  /// Whether there are any scores for these batches. Only then hashing a model before it runs pays.
  bool knows(const std::string& data) const;
  /// The scores of `model` for `data`. Nothing when there are none, not `count` of them, or the
  /// file is damaged. The file is read and hashed once, here. Another process that removes or
  /// replaces it later does not change the scores.
  std::optional<Scores> load(const std::string& data, const std::string& model, std::size_t count);
  /// Keeps scores. Then removes the least recently used files until the folder is within its limit.
  /// Returns whether the scores were kept.
  bool store(const std::string& data, const std::string& model, std::span<const float> scores);

  /// A hash of everything in the open `checkpoint` on which its scores depend. It is read from a
  /// .digest file when the checkpoint's files have not changed since.
  std::string model_digest(const compat::Checkpoint& checkpoint, std::string_view precision);
  /// Whether the open `checkpoint` still has the content that gave `digest`, and its files still
  /// have their names. Otherwise `warn` gets a line. To be called before scores are stored.
  bool is_still(const compat::Checkpoint& checkpoint, std::string_view precision,
                const std::string& digest) const;
  void warn(const std::string& line) const { warn_(line); }

 private:
  std::filesystem::path scores_file(const std::string& data, const std::string& model) const;
  void trim();

  std::filesystem::path folder_;
  std::uint64_t limit_;
  Warn warn_;
};

/// $XDG_CACHE_HOME/btm/scores or ~/.cache/btm/scores; empty when there is no home.
std::filesystem::path default_score_cache();

}  // namespace btm
