// Scores of experts, kept on disk between runs: another prior, k or type then costs no forward
// pass, and a further expert costs one. No torch here.
//
// A folder for each sequence of batches, named by a SHA-256 of the dictionary, of all tokens,
// targets and scored columns in it and, where an expert scores some rows only, of which; in it a
// file MODEL.scores for each expert, MODEL being a SHA-256 of the checkpoint's tensors and
// configuration and of the precision:
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

  /// `folder` need not exist. Trouble with it is never an error: `warn` is told, and what is
  /// missing is computed.
  ScoreCache(std::filesystem::path folder, std::uint64_t limit_bytes, Warn warn);

  /// Whether there is anything for these batches, so that hashing a model may pay before it is run.
  bool knows(const std::string& data) const;
  /// The scores of `model` for `data`; nothing when there are none, not `count` of them, or the
  /// file is damaged. They are read and hashed here, once: they stay what they are when another
  /// process removes or replaces the file.
  std::optional<Scores> load(const std::string& data, const std::string& model, std::size_t count);
  /// Keeps scores, then removes what was not used for longest until the folder is within its limit.
  /// Whether they were kept.
  bool store(const std::string& data, const std::string& model, std::span<const float> scores);

  /// A hash of everything in `checkpoint`, as it is open, that its scores depend on. From memory
  /// where its files have not changed since.
  std::string model_digest(const compat::Checkpoint& checkpoint, std::string_view precision);
  /// Whether what was read through `checkpoint` until now is what gave `digest`, and its files
  /// still have their names; else `warn` is told. To be asked before scores are stored.
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
