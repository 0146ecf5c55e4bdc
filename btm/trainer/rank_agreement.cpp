#include "btm/trainer/rank_agreement.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "btm/trainer/fairseq_config.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/version.h"

namespace btm {
namespace {

using compat::ConfigValue;

constexpr char kEndOfName = '\1', kEndOfFact = '\0';  // arguments of processes hold no zero byte

/// Keys of the configuration that may differ: they concern only the log, or name files whose
/// contents are compared.
constexpr std::array<std::string_view, 12> kFree{
    "data",          "save_dir",        "restore_file", "finetune_from_model", "checkpoint_suffix",
    "log_format",    "log_file",        "log_interval", "no_progress_bar",     "tensorboard_logdir",
    "wandb_project", "data_buffer_size"};

std::string flag_name(const std::string& section, const std::string& key) {
  std::string name = key != "_name" ? key : section == "model" ? "arch" : section;
  std::ranges::replace(name, '_', '-');
  return "--" + name;
}

std::string packed(const RankFacts& facts) {
  std::string text;
  for (const auto& [name, value] : facts) text += name + kEndOfName + value + kEndOfFact;
  return text;
}

RankFacts unpacked(const std::string& text) {
  RankFacts facts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find(kEndOfFact, at), name_end = text.find(kEndOfName, at);
    facts.emplace_back(text.substr(at, name_end - at),
                       text.substr(name_end + 1, end - name_end - 1));
    at = end + 1;
  }
  return facts;
}

}  // namespace

RankFacts option_facts(const TrainOptions& options, const TransformerConfig& model) {
  RankFacts facts{{"the version of btm", std::string(compat::program_version())}};
  const ConfigValue config = fairseq_config(options, model, 1);
  for (const auto& [section, values] : std::get<ConfigValue::Dict>(config.value)) {
    const auto* const dict = std::get_if<ConfigValue::Dict>(&values.value);
    for (const auto& [key, value] : dict != nullptr ? *dict : ConfigValue::Dict{})
      if (std::ranges::find(kFree, key) == kFree.end())
        facts.emplace_back(flag_name(section, key), value.to_text());
  }
  const auto on = [](bool value) { return std::string(value ? "on" : "off"); };
  facts.emplace_back("--resample-eval", on(options.task.resample_eval));
  facts.emplace_back("--desynchronize", on(options.demix.desynchronize));
  facts.emplace_back("--adaptation", on(options.demix.adaptation));
  facts.emplace_back("--sync-type", options.demix.sync_type);
  facts.emplace_back("--data-parallel-groups", options.demix.data_parallel_groups);
  facts.emplace_back("--untie-parameters", options.demix.untie_parameters);
  facts.emplace_back("--moe-freq", std::to_string(options.model.moe_freq));
  facts.emplace_back("--moe-expert-count", std::to_string(options.model.moe_expert_count));
  facts.emplace_back("--moe-router", options.model.moe_router);
  facts.emplace_back("--moe-gate-loss-wt", compat::general(options.moe.gate_loss_wt));
  facts.emplace_back("--moe-z-loss-wt", compat::general(options.moe.z_loss_wt));
  facts.emplace_back("--moe-train", options.moe.train);
  facts.emplace_back("--moe-freeze-experts", options.moe.freeze_experts);
  if (options.demix.desynchronize)
    facts.emplace_back("--save-dir",
                       options.checkpoint.save_dir);  // their files become visible together
  return facts;
}

std::string size_text(const DataSize& size) {
  return compat::concat(size.samples, " samples, ", size.tokens, " tokens");
}

void check_ranks_agree(const RankFacts& own, Communicator& world) {
  std::vector<RankFacts> all;
  for (const std::string& text : world.all_gather(packed(own))) all.push_back(unpacked(text));
  // Names repeat (--seed in two sections), and some depend on other options.
  const auto value_in = [](const RankFacts& facts, std::size_t at,
                           const std::string& name) -> std::optional<std::string> {
    if (at < facts.size() && facts[at].first == name) return facts[at].second;
    const auto found = std::ranges::find(facts, name, [](const auto& fact) { return fact.first; });
    return found == facts.end() ? std::nullopt : std::optional(found->second);
  };
  const auto shown = [](const std::optional<std::string>& value, std::size_t rank) {
    return compat::concat(!value           ? "not given"
                          : value->empty() ? "empty"
                                           : compat::printable(*value, 400),
                          " on rank ", rank);
  };
  for (std::size_t at = 0; at < all.front().size(); ++at)
    for (std::size_t rank = 1; rank < all.size(); ++rank) {
      const auto& [name, here] = all.front()[at];
      if (const auto there = value_in(all[rank], at, name); there != here)
        throw compat::UsageError("the ranks differ: " + compat::printable(name) + " is " +
                                 shown(here, 0) + " and " + shown(there, rank));
    }
}

}  // namespace btm
