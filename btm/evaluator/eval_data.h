// The data of an evaluation: the samples of a task in fairseq's order, grouped into batches.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "btm/data/batches.h"
#include "btm/data/context_window.h"
#include "btm/evaluator/eval_options.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

/// The samples that are left out because they are longer than the models' positions.
struct LeftOut {
  std::int64_t samples = 0, of_samples = 0, tokens = 0, of_tokens = 0;
};

class EvalData {
 public:
  /// Opens the dictionary and gen_subset of options.folder (the first of several shards, as
  /// fairseq does). tokens_per_sample is not 0 (see with_model_defaults). UsageError for options
  /// that contradict each other, and the errors of compat's readers.
  explicit EvalData(const EvalDataOptions& options);

  /// With the domain tokens.
  const compat::Dictionary& dictionary() const noexcept { return dictionary_; }
  const std::string& dictionary_file() const noexcept { return dictionary_file_; }
  const LmDataset& dataset() const noexcept { return *dataset_; }

  /// Leaves out samples longer than `max_positions`, groups the rest and keeps the batches that
  /// num_shards, shard_id and max_samples select. `warn` gets a line about what was left out.
  /// IoError when nothing is left.
  LeftOut make_batches(std::int64_t max_positions,
                       const std::function<void(const std::string& line)>& warn);

  std::int64_t num_batches() const noexcept { return static_cast<std::int64_t>(batches_.size()); }

 private:
  friend class BatchReader;
  [[noreturn]] void refuse_nothing(const LeftOut& left_out, std::int64_t max_positions) const;
  void open(const std::filesystem::path& folder);

  EvalDataOptions options_;
  compat::Dictionary dictionary_;
  std::string dictionary_file_;
  std::unique_ptr<LmDataset> dataset_;
  std::string passed_over_;  ///< Domains that have only other splits.
  std::vector<std::int64_t> order_;
  std::vector<std::vector<std::int64_t>> batches_;
};

/// The batches of `data` (after make_batches()), one after another, each with its context.
class BatchReader {
 public:
  explicit BatchReader(const EvalData& data);
  /// False when all have been read.
  bool next(Batch& batch);

 private:
  const EvalData& data_;
  ContextWindow context_;
  std::size_t position_ = 0;
};

}  // namespace btm
