// btm average --tune: the weights of an average, by its loss on data.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "btm/ensemble/average_loss.h"
#include "btm/merge/weight_search.h"
#include "compat/checkpoint/named_models.h"
#include "compat/program/flag.h"
#include "compat/program/reporter.h"

namespace btm {

struct AverageTuning {
  AverageDataOptions data;
  std::string domains;
  WeightSearchOptions search;
  std::int64_t groups = 1, evaluations = 60;

  compat::FlagGroup group();
  bool given() const { return !data.folder.empty(); }
};

/// Searches from uniform weights and, unless it is empty, from `start` [N]. Keeps every evaluation
/// in FOLDER/tune.json, and takes up those that are there: the search goes on where it was stopped.
/// Writes tune.json and tune.html, and prints the losses on both splits. Returns the weights
/// [G][N]. FormatError for a tune.json of another search.
GroupWeights tune_average(const AverageTuning& tuning,
                          const std::vector<compat::NamedModel>& models,
                          const std::vector<double>& start, std::uint64_t seed,
                          const std::filesystem::path& folder, bool overwrite,
                          const compat::LogOptions& log);

}  // namespace btm
