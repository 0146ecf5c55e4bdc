#include "btm/evaluator/eval_data.h"

#include <algorithm>
#include <numeric>

#include "btm/data/multidomain.h"
#include "btm/data/task_data.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"

namespace btm {

using compat::concat;
using compat::grouped;

namespace {

constexpr std::string_view kMultidomain = "multidomain_language_modeling";

void check_options(const EvalDataOptions& options) {
  const auto require = [](bool ok, const std::string& problem) {
    if (!ok) throw compat::UsageError(problem);
  };
  require(options.task == "language_modeling" || options.task == kMultidomain,
          "--task '" + compat::printable(options.task) +
              "' is not supported (supported: language_modeling, multidomain_language_modeling)");
  require(options.task == kMultidomain || (options.eval_domains.empty() && !options.resample_eval),
          "--eval-domains and --resample-eval need --task multidomain_language_modeling");
  check_domain_tokens(options.batching.domain_token, options.task == kMultidomain);
  require(!options.batching.domain_token.add || options.batching.context_window == 0,
          "--add-domain-token and --context-window exclude each other");
  require(options.num_shards >= 1,
          concat("--num-shards ", options.num_shards, ", expected at least 1"));
  require(options.shard_id >= 0 && options.shard_id < options.num_shards,
          concat("--shard-id ", options.shard_id, ", expected 0 to ", options.num_shards - 1));
  require(options.batching.context_window >= 0,
          concat("--context-window ", options.batching.context_window, ", expected 0 or more"));
  require(options.batching.tokens_per_sample > options.batching.context_window,
          concat("--tokens-per-sample ", options.batching.tokens_per_sample,
                 " leaves nothing beside --context-window ", options.batching.context_window));
}

}  // namespace

EvalData::EvalData(const EvalDataOptions& options) : options_(options) {
  check_options(options);
  const std::vector<std::string> folders = compat::split_at(options.folder, ':');
  if (folders.empty()) throw compat::UsageError("the data folder is missing");
  const std::filesystem::path folder = folders.front();
  dictionary_file_ = (folder / "dict.txt").string();
  if (!std::filesystem::is_directory(folder))
    throw compat::IoError(folder.string(), "is not a folder, expected a data-bin");
  dictionary_ = compat::Dictionary::load(dictionary_file_);
  if (options.batching.domain_token.add)
    add_domain_tokens(dictionary_, token_domains(options.batching.domain_token, {},
                                                 eval_domains(folder, options.eval_domains)));
  open(folder);
}

void EvalData::open(const std::filesystem::path& folder) {
  const std::string& split = options_.gen_subset;
  const TaskData opener(dictionary_, dictionary_file_,
                        {options_.dataset_impl, options_.batching.sample_break_mode,
                         options_.batching.tokens_per_sample - options_.batching.context_window,
                         options_.batching.add_bos_token,
                         options_.resample_eval ? std::optional(options_.seed) : std::nullopt,
                         options_.batching.domain_token});
  OrderedData opened;
  if (options_.task != kMultidomain) {
    opened = opener.one_set(folder, split, options_.seed);
  } else {
    std::vector<std::string> domains = eval_domains(folder, options_.eval_domains);
    if (options_.eval_domains.empty()) {  // every folder is tried
      std::vector<std::string> passed_over;
      std::vector<std::string> with_split =
          domains_with_split(folder, domains, split, &passed_over);
      if (with_split.empty()) refuse_split(folder, domains, split, "--gen-subset");
      domains = std::move(with_split);
      passed_over_ = compat::join(passed_over, ", ",
                                  [](const std::string& name) { return compat::printable(name); });
    }
    opened = opener.joined_sets(folder, domains, split);
  }
  dataset_ = std::move(opened.dataset);
  order_ = std::move(opened.order);
  if (options_.batching.context_window > 0) {  // each sample needs the one before it
    order_.resize(static_cast<std::size_t>(dataset_->size()));
    std::iota(order_.begin(), order_.end(), 0);
  }
}

void EvalData::refuse_nothing(const LeftOut& left_out, std::int64_t max_positions) const {
  std::string reason = "it is empty";
  if (left_out.of_samples > left_out.samples)
    reason = concat("--shard-id ", options_.shard_id, " of --num-shards ", options_.num_shards,
                    " has no batch");
  else if (left_out.samples > 0)
    reason =
        concat("all of its ", grouped(left_out.samples), " samples (", grouped(left_out.tokens),
               " tokens) are longer than the ", max_positions,
               " positions of the model; give --tokens-per-sample ", max_positions,
               options_.batching.sample_break_mode == "none" ? "" : " --sample-break-mode none");
  throw compat::IoError(
      options_.folder,
      "nothing to evaluate in split '" + compat::printable(options_.gen_subset) + "': " + reason);
}

LeftOut EvalData::make_batches(std::int64_t max_positions,
                               const std::function<void(const std::string& line)>& warn) {
  if (!passed_over_.empty())
    warn("domains without the split '" + compat::printable(options_.gen_subset) +
         "' are left out: " + passed_over_);
  LeftOut left_out;
  const auto tokens = [&] {
    std::int64_t sum = 0;
    for (const std::int64_t sample : order_) sum += dataset_->num_tokens(sample);
    return sum;
  };
  left_out.of_samples = static_cast<std::int64_t>(order_.size());
  left_out.of_tokens = tokens();
  left_out.samples = drop_longer_than(*dataset_, max_positions, order_);
  left_out.tokens = left_out.of_tokens - tokens();
  batches_ = shard_of(batch_by_size(order_, *dataset_, options_.batching.max_tokens,
                                    options_.batching.batch_size, 1),
                      options_.num_shards, options_.shard_id);
  if (options_.batching.max_samples > 0)
    batches_.resize(
        std::min(batches_.size(), static_cast<std::size_t>(options_.batching.max_samples) + 1));
  if (batches_.empty()) refuse_nothing(left_out, max_positions);
  if (left_out.samples > 0)
    warn(concat(compat::printable(options_.gen_subset), ": ", grouped(left_out.samples), " of ",
                grouped(left_out.of_samples), " samples (", grouped(left_out.tokens), " of ",
                grouped(left_out.of_tokens), " tokens) are left out, longer than the ",
                max_positions, " positions of the model"));
  return left_out;
}

BatchReader::BatchReader(const EvalData& data)
    : data_(data),
      context_(data.options_.batching.context_window,
               data.options_.batching.tokens_per_sample - data.options_.batching.context_window) {}

bool BatchReader::next(Batch& batch) {
  if (position_ == data_.batches_.size()) return false;
  batch = collate(*data_.dataset_, data_.batches_[position_++], data_.dictionary_.pad());
  if (data_.options_.batching.context_window > 0) context_.extend(batch);
  return true;
}

}  // namespace btm
