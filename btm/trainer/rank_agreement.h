// What all ranks of a training must have in common, and the comparison at the start. No torch here.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "btm/distributed/communicator.h"
#include "btm/trainer/options.h"
#include "btm/trainer/train_data.h"

namespace btm {

struct TransformerConfig;

/// Names for messages ("--lr") and values as text, in the order in which they are compared.
using RankFacts = std::vector<std::pair<std::string, std::string>>;

/// The program's version, and every option but those that only name files or shape the log.
RankFacts option_facts(const TrainOptions& options, const TransformerConfig& model);

/// "61 samples, 7757 tokens"
std::string size_text(const DataSize& size);

/// A collective call. UsageError on all ranks that names the first fact in which one differs from
/// rank 0, and both values.
void check_ranks_agree(const RankFacts& own, Communicator& world);

}  // namespace btm
