// What ensemble-eval --tune prints and writes.
#pragma once

#include <filesystem>
#include <string>

#include "btm/ensemble/tune_ensemble.h"

namespace btm {

/// The weights, and the losses beside those of uniform weights and of each expert, for people.
std::string tuned_text(const TunedEnsemble& result);

/// tune.json, with the keys `experts` and `posterior` that --precomputed-prior reads. Losses are in
/// bits per token.
std::string tuned_json(const TunedEnsemble& result);

/// tune.html: the tables, and the search as charts.
void write_tuned_page(const std::filesystem::path& file, const TunedEnsemble& result);

}  // namespace btm
