#include "btm/ensemble/average_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <filesystem>
#include <limits>
#include <utility>

#include "btm/data/multidomain.h"
#include "btm/ensemble/expert_average.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/evaluator/scorer.h"
#include "btm/model/layer_group.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/fairseq/indexed_dataset.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

/// SPLIT_DOMAIN or SPLIT, whichever is in the domain's folder; "" for neither.
std::string split_in(const fs::path& folder, const std::string& split, const std::string& domain) {
  for (const std::string& name : {split + "_" + domain, split})
    if (compat::IndexedDataset::exists(folder / name)) return name;
  return {};
}

std::unique_ptr<EvalData> open_set(const AverageDataOptions& options, const std::string& domain,
                                   const std::string& split) {
  EvalDataOptions data;
  data.folder = options.folder;
  data.gen_subset = split;
  data.batching = options.batching;
  if (!domain.empty()) {
    data.task = "multidomain_language_modeling";
    data.eval_domains = domain;
  }
  return std::make_unique<EvalData>(data);
}

}  // namespace

AverageLoss::AverageLoss(const std::vector<compat::NamedModel>& models,
                         const AverageDataOptions& given,
                         const std::function<void(const std::string&)>& warn)
    : machine_(given.machine), precision_(precision_for(given.machine)) {
  use_threads(machine_);
  precision_.as_stored = false;
  precision_.products = Products::kFp32;
  AverageDataOptions options = given;
  const std::vector<std::string> paths = compat::paths_of(models);
  options.batching = with_model_defaults(given.batching, paths, "{}");
  const std::string dictionary_file = (fs::path(options.folder) / "dict.txt").string();
  const compat::Dictionary dictionary = compat::Dictionary::load(dictionary_file);
  std::int64_t positions = std::numeric_limits<std::int64_t>::max();
  std::optional<AveragedModel> first;
  for (const compat::NamedModel& model : models) {
    checkpoints_.push_back(open_model(model.path.string(), "{}"));
    AveragedModel here{model.name, outline_model(checkpoints_.back(), dictionary, dictionary_file)};
    positions = std::min(positions, here.outline->config().max_target_positions);
    if (first) check_same_network(*first, here);
    models_.push_back(load_model(checkpoints_.back(), dictionary, dictionary_file, precision_));
    if (!first) first.emplace(std::move(here));
  }
  layers_ = first->outline->config().decoder_layers;
  open_sets(options, positions, warn);
}

void AverageLoss::open_sets(const AverageDataOptions& options, std::int64_t positions,
                            const std::function<void(const std::string&)>& warn) {
  const fs::path folder = options.folder;
  const auto add = [&](const std::string& domain, const std::string& tuning,
                       const std::string& held_out) {
    const std::string name = domain.empty() ? fs::absolute(folder).filename().string() : domain;
    domains_.push_back(name);
    for (auto& [split, sets] : {std::pair(tuning, &tuning_), std::pair(held_out, &held_out_)}) {
      sets->push_back(open_set(options, domain, split));
      sets->back()->make_batches(
          positions, [&](const std::string& line) { warn(compat::printable(name) + ": " + line); });
    }
  };
  const std::string here = folder.filename().string();
  const std::string tuning = split_in(folder, options.tuning, here),
                    held_out = split_in(folder, options.held_out, here);
  if (options.domains.empty() && !tuning.empty() && !held_out.empty()) {
    add("", tuning, held_out);
  } else {
    const std::vector<std::string> domains =
        options.domains.empty() ? eval_domains(folder, "") : options.domains;
    for (const std::string& domain : domains) {
      const std::string own = split_in(folder / domain, options.tuning, domain),
                        other = split_in(folder / domain, options.held_out, domain);
      if (!own.empty() && !other.empty())
        add(domain, own, other);
      else if (!options.domains.empty())
        refuse_split(folder, {domain}, own.empty() ? options.tuning : options.held_out,
                     own.empty() ? "--tune-subset" : "--held-out-subset");
    }
    if (domains_.empty())
      throw compat::IoError(
          options.folder,
          compat::concat("no domain has both splits, '", compat::printable(options.tuning),
                         "' (--tune-subset) and '", compat::printable(options.held_out),
                         "' (--held-out-subset)"));
  }
}

std::unique_ptr<TransformerLM> AverageLoss::average(
    const std::vector<std::vector<double>>& weights) const {
  const EvalData& data = *tuning_.front();
  auto average = outline_model(checkpoints_.front(), data.dictionary(), data.dictionary_file());
  for (std::size_t i = 0; i < average->parameters().size(); ++i) {
    const std::string& name = average->parameters()[i].name;
    const std::vector<double>& own = weights[layer_group(
        name, layers_, weights.size(), average->config().share_decoder_input_output_embed)];
    at::Tensor sum;
    for (std::size_t n = 0; n < models_.size(); ++n) {
      const at::Tensor term = models_[n]->parameters()[i].tensor->to(at::kFloat) * own[n];
      if (sum.defined())
        sum += term;
      else
        sum = term;
    }
    *average->parameters()[i].tensor = sum.to(precision_.rounding).to(precision_.compute);
  }
  return average;
}

AverageLosses AverageLoss::losses(const std::vector<std::vector<double>>& weights,
                                  const Sets& sets) const {
  const at::NoGradGuard no_grad;
  ModelScorer scorer("the average", average(weights), precision_.device, machine_.softmax_batch);
  AverageLosses losses;
  for (const std::unique_ptr<EvalData>& set : sets) {
    double sum = 0;
    std::int64_t tokens = 0;
    BatchReader reader(*set);
    for (Batch batch; reader.next(batch);) {
      const at::Tensor scores = scorer.score(batch);
      const float* const values = scores.const_data_ptr<float>();
      batch.for_each_scored([&](std::int64_t, std::size_t place) {
        sum -= values[place];
        ++tokens;
      });
    }
    if (tokens == 0)
      throw compat::IoError(set->dictionary_file(), "the data have no target that is not padding");
    losses.domains.push_back(sum / static_cast<double>(tokens));
    losses.mean += losses.domains.back() / static_cast<double>(sets.size());
  }
  return losses;
}

}  // namespace btm
