// What an evaluation needs besides its options: the data set in fairseq's order, and models that score.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "btm/data/lm_dataset.h"
#include "btm/evaluator/eval_lm.h"
#include "btm/evaluator/scorer.h"
#include "btm/model/weights.h"
#include "compat/dictionary.h"

namespace btm {

inline constexpr std::string_view kMultidomain = "multidomain_language_modeling";

/// The parts of a list joined by ':', empty ones left out.
std::vector<std::string> split_paths(const std::string& paths);

/// Device and type of numbers that --fp16, --bf16 and --cpu ask for.
Precision precision_for(const EvalLmOptions& options);

/// A model ready to score.
struct LoadedModel {
  std::unique_ptr<Scorer> scorer;
  std::int64_t max_positions = 0, num_parameters = 0;
};

/// Loads the checkpoint `path` with --model-overrides applied.
LoadedModel load_scorer(const std::string& path, const EvalLmOptions& options, const compat::Dictionary& dictionary,
                        const std::string& dictionary_file);

/// The data set of the task, its samples in the order fairseq evaluates them in.
struct EvalData {
  std::unique_ptr<LmDataset> dataset;
  std::vector<std::int64_t> order;
};

/// Opens --gen-subset of `folder`: a data-bin, or for the multidomain task a folder of them.
EvalData open_eval_data(const EvalLmOptions& options, const std::filesystem::path& folder, const compat::Dictionary& dictionary);

}  // namespace btm
