#include "btm/evaluator/eval_lm_json.h"

#include <nlohmann/json.hpp>

namespace btm {
namespace {

using Json = nlohmann::ordered_json;

Json count_json(const ChoiceCount& count) {
  return {{"choices", count.choices}, {"over_capacity", count.over_capacity}};
}

Json gating_json(const GatingReport& gating) {
  Json json{{"path", gating.path},
            {"capacity_fraction", gating.capacity_fraction},
            {"first_expert", count_json(gating.first)}};
  if (gating.second_expert.empty()) return json;
  json["second_expert_policy"] = gating.second_expert;
  json["second_expert"] = count_json(gating.second);
  return json;
}

}  // namespace

std::string eval_lm_json(const EvalLmOptions& options, const EvalLmReport& report) {
  Json json{{"path", options.path},
            {"data", options.data.folder},
            {"gen_subset", options.data.gen_subset},
            {"loss_base2", report.loss_base2},
            {"ppl", report.perplexity},
            {"loss_sum", report.loss_sum},
            {"tokens", report.tokens},
            {"evaluated_tokens", report.evaluated_tokens},
            {"samples", report.samples},
            {"impossible_tokens", report.impossible_tokens},
            {"skipped_samples", report.skipped_samples},
            {"skipped_tokens", report.skipped_tokens},
            {"batches", report.batches},
            {"num_parameters", report.num_parameters},
            {"precision", report.precision},
            {"seconds", report.seconds}};
  for (const GatingReport& gating : report.gating)
    json["moe_gating"].push_back(gating_json(gating));
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace btm
