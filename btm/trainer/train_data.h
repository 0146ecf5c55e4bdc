// The data sets of a training run, cut into batches as fairseq's tasks cut them. No torch here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "btm/data/batches.h"
#include "btm/trainer/options.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

using BatchList = std::vector<std::vector<std::int64_t>>;  ///< ids of samples

/// What one rank of fairseq trains on.
struct RankData {
  std::shared_ptr<const LmDataset> dataset;
  BatchList batches;        ///< All of an epoch, before shuffling and sharding.
  std::int64_t shard = 0;   ///< This rank trains on every `num_shards`th batch from this one on.
  std::int64_t domain = 0;  ///< Its place in TrainData::domains.
};

struct DataSize {
  std::int64_t samples = 0, tokens = 0;
};
DataSize size_of(const LmDataset& dataset);

struct TrainData {
  std::vector<RankData> ranks;  ///< The ranks of fairseq that this process simulates: one, or one
                                ///< per domain that it trains.
  std::vector<std::string>
      domains;  ///< Names; empty where the data are one set or the concatenation of all domains.
  std::int64_t num_shards = 1;
  std::int64_t blocks = 0;  ///< Samples of this process's data sets, for the log.
  DataSize size;            ///< Of the data sets of all ranks.
};

struct DataPlace {
  std::int64_t rank = 0, world_size = 1, max_positions = 0;
};

/// The number of fairseq's ranks in a run: one per process. multidomain_language_modeling with more
/// domains than processes has one per domain; each process then takes the parts of several ranks in
/// turn and sums their gradients. UsageError where neither number is a multiple of the other.
std::int64_t virtual_world_size(const TrainOptions& options, std::int64_t world_size,
                                std::int64_t num_domains);

/// Opens the training set of `epoch` (DATA may be several folders, taken in turn). Drops samples
/// longer than max_positions and tells `warn`. UsageError when none is left, IoError when all
/// targets are padding.
TrainData open_train_data(const TrainOptions& options, const compat::Dictionary& dictionary,
                          std::int64_t epoch, const DataPlace& place,
                          const std::function<void(const std::string&)>& warn);

struct ValidData {
  std::string subset;
  std::shared_ptr<const LmDataset> dataset;
  BatchList batches;       ///< This rank's. Other ranks may have one more or less.
  std::int64_t steps = 0;  ///< The largest number of batches of a rank.
  std::string domain;      ///< The domain of all samples; empty where they have several or none.
};

/// Opens the sets of --valid-subset. UsageError for a sample that is too long, unless such samples
/// are to be skipped, and when none is left. IoError when all targets that would be evaluated are
/// padding.
std::vector<ValidData> open_valid_data(const TrainOptions& options,
                                       const compat::Dictionary& dictionary, const DataPlace& place,
                                       const std::function<void(const std::string&)>& warn);

/// The domains that have tokens (--add-domain-token), in the order of the tokens.
std::vector<std::string> token_domains(const TrainOptions& options);

/// The folders of DATA.
std::vector<std::string> data_folders(const std::string& data);

}  // namespace btm
