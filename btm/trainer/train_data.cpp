#include "btm/trainer/train_data.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>

#include "btm/data/multidomain.h"
#include "btm/data/task_data.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using compat::UsageError;
using Warn = std::function<void(const std::string&)>;

TaskData task_data(const TrainOptions& options, const compat::Dictionary& dictionary,
                   std::optional<std::int64_t> resample_seed = {}) {
  const TaskOptions& task = options.task;
  return {dictionary, fs::path(data_folders(task.data).front()) / "dict.txt",
          SampleForm{task.dataset_impl, task.sample_break_mode, task.tokens_per_sample,
                     task.add_bos_token, resample_seed, task.domain_token}};
}

/// fairseq would append train1, train2, ...
void refuse_several_parts(const fs::path& folder, const std::string& split) {
  if (compat::IndexedDataset::exists(folder / (split + "1")))
    throw compat::UnsupportedError(compat::concat(folder.string(),
                                                  ": a training set in several parts (",
                                                  compat::printable(split), "1) is not supported"));
}

std::int64_t longest_allowed(const DataPlace& place, std::int64_t max_tokens) {
  return max_tokens > 0 ? std::min(place.max_positions, max_tokens) : place.max_positions;
}

/// IoError where all targets of `batches` are padding, so that no loss can be computed. Reads up to
/// the first other target.
void refuse_padding_alone(std::span<const std::vector<std::int64_t>> batches,
                          const LmDataset& dataset, std::int64_t pad, const fs::path& folder,
                          const std::string& split) {
  LmSample sample;
  for (const auto& batch : batches)
    for (const std::int64_t id : batch) {
      dataset.read(id, sample);
      if (std::ranges::any_of(sample.target, [&](std::int64_t target) { return target != pad; }))
        return;
    }
  throw compat::IoError(folder.string(), "split '" + compat::printable(split) +
                                             "' has no target that is not padding");
}

BatchList train_batches(const TrainOptions& options, const LmDataset& dataset,
                        std::vector<std::int64_t> order, const fs::path& folder, std::int64_t pad,
                        const DataPlace& place, const Warn& warn) {
  const std::int64_t longest = longest_allowed(place, options.dataset.max_tokens);
  if (const std::int64_t dropped = drop_longer_than(dataset, longest, order); dropped > 0)
    warn(compat::concat(
        dropped, " samples have invalid sizes and will be skipped, max_positions=", longest));
  BatchList batches =
      batch_by_size(order, dataset, options.dataset.max_tokens, options.dataset.batch_size,
                    options.dataset.required_batch_size_multiple);
  if (batches.empty())
    throw compat::UsageError(
        "no sample of the training set fits --max-tokens and the model's positions");
  refuse_padding_alone(batches, dataset, pad, folder, options.dataset.train_subset);
  return batches;
}

struct Domains {
  std::vector<std::string> train, eval;
};

/// Without either list every folder is both. With one list the other is empty, as in BTM's task.
Domains domains_of(const TrainOptions& options, const fs::path& folder) {
  const TaskOptions& task = options.task;
  Domains domains;
  const bool neither = task.train_domains.empty() && task.eval_domains.empty();
  if (neither || !task.train_domains.empty())
    domains.train = select_domains(folder, task.train_domains, "--train-domains");
  if (neither || !task.eval_domains.empty())
    domains.eval = select_domains(folder, task.eval_domains, "--eval-domains");
  return domains;
}

/// The rank's share where every rank trains on one domain. An epoch has the length of the longest
/// domain; shorter ones repeat.
TrainData balanced(const TrainOptions& options, const fs::path& folder,
                   const std::vector<std::string>& domains, const compat::Dictionary& dictionary,
                   const DataPlace& place, const Warn& warn) {
  TrainData data;
  const auto num_domains = static_cast<std::int64_t>(domains.size());
  data.num_shards = virtual_world_size(options, place.world_size, num_domains);
  const TaskData opener = task_data(options, dictionary);
  std::vector<std::shared_ptr<const LmDataset>> sets;
  std::int64_t longest = 0;
  for (const std::string& domain : domains) {
    refuse_several_parts(folder / domain, options.dataset.train_subset);
    sets.push_back(opener.open(folder / domain, options.dataset.train_subset));
    longest = std::max(longest, sets.back()->size());
    const DataSize size = size_of(*sets.back());
    data.size = {data.size.samples + size.samples, data.size.tokens + size.tokens};
  }
  const std::int64_t per_process = data.num_shards / place.world_size,
                     per_domain = data.num_shards / num_domains;
  for (std::int64_t rank = place.rank * per_process; rank < (place.rank + 1) * per_process;
       ++rank) {
    RankData mine;
    mine.shard = rank;
    mine.domain = rank / per_domain;
    mine.dataset = sets[static_cast<std::size_t>(mine.domain)];
    data.blocks += mine.dataset->size();
    const std::vector<std::int64_t> once =
        ordered_by_size(*mine.dataset, rank);  // the release seeds with the rank
    std::vector<std::int64_t> order(static_cast<std::size_t>(longest));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = once[i % once.size()];
    mine.batches = train_batches(options, *mine.dataset, std::move(order),
                                 folder / domains[static_cast<std::size_t>(mine.domain)],
                                 dictionary.pad(), place, warn);
    data.ranks.push_back(std::move(mine));
  }
  data.domains = domains;
  return data;
}

}  // namespace

std::vector<std::string> token_domains(const TrainOptions& options) {
  if (!options.task.domain_token.add) return {};
  const Domains domains = domains_of(options, data_folders(options.task.data).front());
  return token_domains(options.task.domain_token, domains.train, domains.eval);
}

DataSize size_of(const LmDataset& dataset) {
  DataSize size{dataset.size(), 0};
  for (std::int64_t i = 0; i < size.samples; ++i) size.tokens += dataset.num_tokens(i);
  return size;
}

std::vector<std::string> data_folders(const std::string& data) {
  std::vector<std::string> folders = compat::split_at(data, ':');
  if (folders.empty()) throw UsageError("the data folder is missing");
  return folders;
}

std::int64_t virtual_world_size(const TrainOptions& options, std::int64_t world_size,
                                std::int64_t num_domains) {
  if (!options.multidomain() || options.task.unbalanced) return world_size;
  const std::int64_t large = std::max(world_size, num_domains),
                     small = std::min(world_size, num_domains);
  if (small < 1 || large % small != 0)
    throw UsageError(compat::concat(num_domains, " training domains on ", world_size,
                                    " processes: one must be a multiple of the other"));
  return large;
}

TrainData open_train_data(const TrainOptions& options, const compat::Dictionary& dictionary,
                          std::int64_t epoch, const DataPlace& place, const Warn& warn) {
  const std::vector<std::string> folders = data_folders(options.task.data);
  const fs::path folder =
      folders[static_cast<std::size_t>((epoch - 1) % static_cast<std::int64_t>(folders.size()))];
  const std::string& split = options.dataset.train_subset;
  if (options.multidomain() && !options.task.unbalanced) {
    const Domains domains = domains_of(options, folder);
    if (domains.train.empty()) throw UsageError("--train-domains names no domain to train on");
    return balanced(options, folder, domains.train, dictionary, place, warn);
  }
  TrainData data;
  data.num_shards = place.world_size;
  RankData mine;
  mine.shard = place.rank;
  const TaskData opener = task_data(options, dictionary);
  OrderedData opened;
  if (options.multidomain()) {
    const std::vector<std::string> domains = domains_of(options, folder).train;
    for (const std::string& domain : domains) refuse_several_parts(folder / domain, split);
    opened = opener.joined_sets(folder, domains, split);
  } else {
    refuse_several_parts(folder, split);
    opened = opener.one_set(folder, split, options.common.seed);
  }
  mine.dataset = std::move(opened.dataset);
  data.blocks = mine.dataset->size();
  data.size = size_of(*mine.dataset);
  mine.batches = train_batches(options, *mine.dataset, std::move(opened.order), folder,
                               dictionary.pad(), place, warn);
  data.ranks.push_back(std::move(mine));
  return data;
}

namespace {

/// The batches of a validation set that a rank takes: every `count`th from `index` on; none where
/// index is -1.
struct Share {
  std::int64_t index = 0, count = 1;
};

/// In DeMIX only the ranks that train on a domain have its expert.
Share valid_share(const TrainOptions& options, const DataPlace& place, const Domains& domains,
                  const std::string& name) {
  if (!options.demix.desynchronize || !options.multidomain() || options.task.unbalanced)
    return {place.rank, place.world_size};
  const auto experts = static_cast<std::int64_t>(domains.train.size());
  const auto expert =
      std::find(domains.train.begin(), domains.train.end(), name) - domains.train.begin();
  if (expert == experts)
    throw UsageError("--valid-subset: no rank has an expert of the domain '" +
                     compat::printable(name) + "' to validate");
  if (experts > place.world_size)
    throw UsageError(compat::concat("--desynchronize trains one expert per rank: ", experts,
                                    " domains need as many ranks, found ", place.world_size));
  const std::int64_t count = place.world_size / experts, index = place.rank - expert * count;
  return {index >= 0 && index < count ? index : -1, count};
}

}  // namespace

std::vector<ValidData> open_valid_data(const TrainOptions& options,
                                       const compat::Dictionary& dictionary, const DataPlace& place,
                                       const Warn& warn) {
  const fs::path folder = data_folders(options.task.data).front();
  std::vector<ValidData> all;
  const Domains names = options.multidomain() ? domains_of(options, folder) : Domains{};
  const bool resample = options.multidomain() && options.task.resample_eval;
  const TaskData opener =
      task_data(options, dictionary, resample ? std::optional(options.common.seed) : std::nullopt);
  for (const std::string& subset : compat::split_at(options.dataset.valid_subset, ',')) {
    ValidData data;
    data.subset = subset;
    std::vector<std::string> of;  // the domains that have the subset
    OrderedData opened;
    if (options.multidomain()) {
      of = domains_with_split(folder, names.eval, subset);
      if (of.empty()) refuse_split(folder, names.eval, subset, "--valid-subset");
      if (of.size() == 1) data.domain = of.front();
      opened = opener.joined_sets(folder, of, subset);
    } else {
      opened = opener.one_set(folder, subset, options.common.seed);
    }
    data.dataset = std::move(opened.dataset);
    std::vector<std::int64_t>& order = opened.order;
    const std::int64_t longest = longest_allowed(place, options.dataset.max_tokens_valid);
    if (const std::int64_t dropped = drop_longer_than(*data.dataset, longest, order); dropped > 0) {
      if (!options.dataset.skip_invalid_size_inputs_valid_test)
        throw UsageError(compat::concat(dropped, " samples of '", compat::printable(subset),
                                        "' are longer than the ", longest,
                                        " tokens a batch or the model takes; "
                                        "--skip-invalid-size-inputs-valid-test leaves them out"));
      warn(compat::concat(dropped, " samples of ", compat::printable(subset),
                          " have invalid sizes and will be skipped, max_positions=", longest));
    }
    const BatchList batches = batch_by_size(order, *data.dataset, options.dataset.max_tokens_valid,
                                            options.dataset.batch_size_valid,
                                            options.dataset.required_batch_size_multiple);
    const Share share = valid_share(options, place, names, of.empty() ? std::string() : of.front());
    if (batches.empty())
      throw UsageError("no sample of '" + compat::printable(subset) + "' is left to validate on");
    std::size_t evaluated =
        batches.size();  // as in fairseq, one batch per rank more than the flag says
    if (const std::int64_t steps = options.dataset.max_valid_steps; steps > 0)
      evaluated = std::min(
          evaluated, static_cast<std::size_t>(steps + 1) * static_cast<std::size_t>(share.count));
    refuse_padding_alone(std::span(batches).first(evaluated), *data.dataset, dictionary.pad(),
                         of.empty() ? folder : folder / of.front(), subset);
    data.steps = (static_cast<std::int64_t>(batches.size()) + share.count - 1) / share.count;
    if (share.index >= 0) data.batches = shard_of(batches, share.count, share.index);
    all.push_back(std::move(data));
  }
  return all;
}

}  // namespace btm
