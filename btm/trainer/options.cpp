#include "btm/trainer/options.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "btm/trainer/optimizer_kinds.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

using compat::UsageError;

void require(bool ok, const std::string& problem) {
  if (!ok) throw UsageError(problem);
}

void one_of(const std::string& flag, const std::string& value,
            const std::vector<std::string>& choices) {
  std::string list;
  for (const std::string& choice : choices) {
    if (choice == value) return;
    compat::append_item(list, choice);
  }
  throw UsageError(flag + " '" + compat::printable(value) +
                   "' is not supported (supported: " + list + ")");
}

void complete_precision(CommonOptions& common) {
  if (common.memory_efficient_fp16) common.fp16 = true;
  if (common.memory_efficient_bf16) common.bf16 = true;
  require(!(common.fp16 && common.bf16), "--fp16 and --bf16 exclude each other");
  require(!common.fp16_scale_window || *common.fp16_scale_window > 0,
          "--fp16-scale-window must be above 0");
  require(common.fp16_init_scale > 0, "--fp16-init-scale must be above 0");
}

void complete_ema(const TrainOptions& options) {
  const EmaOptions& ema = options.ema;
  const EmaOptions defaults;
  require(
      ema.store || (ema.decay == defaults.decay && ema.start_update == 0 &&
                    ema.seed_model.empty() && ema.update_freq == 1 && !ema.fp32),
      "--ema-decay, --ema-start-update, --ema-seed-model, --ema-update-freq and --ema-fp32 need "
      "--store-ema");
  require(ema.decay >= 0 && ema.decay <= 1,
          compat::concat("--ema-decay ", compat::general(ema.decay), ", expected 0 to 1"));
  require(!ema.store || !options.demix.desynchronize,
          "--store-ema and --desynchronize exclude each other: DeMIX's files hold no average");
  if (!ema.seed_model.empty() && !std::filesystem::exists(ema.seed_model))
    throw compat::IoError(ema.seed_model, "does not exist (--ema-seed-model)");
}

/// The numbers in a list such as "0,2". UsageError for anything else.
std::vector<std::int64_t> numbers_in(const std::string& list) {
  std::vector<std::int64_t> numbers;
  for (std::size_t from = 0; from <= list.size();) {
    const std::size_t end = std::min(list.find(',', from), list.size());
    const auto number =
        compat::number_of<std::int64_t>(std::string_view(list).substr(from, end - from));
    require(number.has_value(), "--moe-freeze-experts '" + compat::printable(list) +
                                    "', expected numbers separated by commas, or all");
    numbers.push_back(*number);
    from = end + 1;
  }
  return numbers;
}

void check_mixture(const TrainOptions& options) {
  const MoeOptions& moe = options.moe;
  const std::int64_t experts = options.model.moe_expert_count;
  one_of("--moe-router", options.model.moe_router, {"top1", "top2", "soft"});
  one_of("--moe-train", moe.train, {"all", "routers"});
  if (options.model.moe_freq == 0) {
    require(experts == 0 && moe.train == "all" && moe.freeze_experts.empty(),
            "--moe-expert-count, --moe-train and --moe-freeze-experts need --moe-freq");
    return;
  }
  require(experts >= 1, "--moe-freq needs --moe-expert-count");
  require(!options.demix.desynchronize && !options.demix.adaptation,
          "--moe-freq excludes --desynchronize and --adaptation");
  if (moe.freeze_experts.empty() || moe.freeze_experts == "all") return;
  for (const std::int64_t expert : numbers_in(moe.freeze_experts))
    require(expert >= 0 && expert < experts,
            compat::concat("--moe-freeze-experts ", expert, ", expected 0 to ", experts - 1,
                           " or all"));
}

}  // namespace

std::vector<std::string> criterion_names() {
  std::vector<std::string> names;
  for (const auto& [name, class_name] : kCriterions) names.emplace_back(name);
  return names;
}

bool MoeOptions::freezes(const std::string& name) const {
  constexpr std::string_view kExperts = ".moe_layer.experts.";
  if (train == "routers") return name.find(".moe_layer.gate.") == std::string::npos;
  const std::size_t at = name.find(kExperts);
  if (at == std::string::npos || freeze_experts.empty()) return false;
  if (freeze_experts == "all") return true;
  const std::size_t from = at + kExperts.size();
  const std::string expert = name.substr(from, name.find('.', from) - from);
  return std::ranges::any_of(numbers_in(freeze_experts),
                             [&](std::int64_t one) { return std::to_string(one) == expert; });
}

void complete(TrainOptions& options) {
  require(!options.model.arch.empty(),
          "--arch is missing (transformer_lm, transformer_lm_gpt3_small, ...)");
  one_of("--task", options.task.task, {"language_modeling", "multidomain_language_modeling"});
  one_of("--criterion", options.optimization.criterion, criterion_names());
  require(
      options.multidomain() || (options.task.train_domains.empty() &&
                                options.task.eval_domains.empty() && !options.task.unbalanced),
      "--train-domains, --eval-domains and --unbalanced need --task multidomain_language_modeling");
  check_domain_tokens(options.task.domain_token, options.multidomain());
  complete_precision(options.common);
  check_demix_options(options.demix);
  complete_ema(options);
  check_mixture(options);
  // One entry for all parameters cannot be divided among the ranks' files.
  if (options.demix.desynchronize) options.common.fp16_no_flatten_grads = true;

  check_optimizer(options);
  if (options.optimization.criterion != "label_smoothed_cross_entropy")
    options.optimization.label_smoothing = 0;

  DatasetOptions& dataset = options.dataset;
  require(dataset.max_tokens > 0 || dataset.batch_size > 0,
          "the size of a batch is missing: --batch-size (--max-sentences) or --max-tokens");
  if (dataset.batch_size_valid == 0) dataset.batch_size_valid = dataset.batch_size;
  if (dataset.max_tokens_valid == 0) dataset.max_tokens_valid = dataset.max_tokens;
  require(!options.task.pad_to_fixed_bsz || dataset.batch_size > 0,
          "--pad-to-fixed-bsz needs --batch-size");

  const OptimizationOptions& optimization = options.optimization;
  require(!optimization.update_freq.empty(), "--update-freq is an empty list");
  for (const std::int64_t value : optimization.update_freq)
    require(value >= 1, compat::concat("--update-freq ", value, ", expected at least 1"));
  require(!options.common.fp16 || options.common.fp16_scale_window ||
              optimization.update_freq.size() == 1,
          "--fp16-scale-window must be given with an --update-freq that changes by epoch");
  options.lr.max_update = optimization.max_update;
  options.lr.maximize_metric = options.checkpoint.maximize_best_checkpoint_metric;
  LrSchedule::make(options.lr);  // refuses a schedule's options before anything is written
  require(options.checkpoint.checkpoint_suffix.find_first_of(std::string_view("/\n\0", 3)) ==
              std::string::npos,
          "--checkpoint-suffix '" + compat::printable(options.checkpoint.checkpoint_suffix) +
              "' cannot be part of a file's name");
  require(options.checkpoint.save_interval >= 1 && dataset.validate_interval >= 1,
          "--save-interval and --validate-interval must be at least 1");
}

}  // namespace btm
