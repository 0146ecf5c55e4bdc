// Compares, at the start of a training, what all ranks must have in common. No torch here.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "btm/distributed/communicator.h"
#include "btm/trainer/options.h"
#include "btm/trainer/train_data.h"

namespace btm {

struct TransformerConfig;

/// Names for messages ("--lr") and values as text, in the order of comparison.
using RankFacts = std::vector<std::pair<std::string, std::string>>;

/// The program's version and all options, except those that only name files or shape the log.
RankFacts option_facts(const TrainOptions& options, const TransformerConfig& model);

/// "61 samples, 7757 tokens"
std::string size_text(const DataSize& size);

/// A collective call. UsageError on all ranks where a rank differs from rank 0, with the first such
/// fact and both values.
void check_ranks_agree(const RankFacts& own, Communicator& world);

}  // namespace btm
