#include "btm/cli/moe_flags.h"

#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

compat::Flag loss_weight(std::string name, double& field, std::string help) {
  return {std::move(name), "X", std::move(help), compat::general(field),
          [&field](const std::string& value) {
            field = compat::parse_real(value);
            if (!(field >= 0)) throw compat::UsageError(value + ", expected at least 0");
          }};
}

}  // namespace

compat::FlagGroup moe_flags(TrainOptions& options) {
  ModelOptions& model = options.model;
  MoeOptions& moe = options.moe;
  return {"Mixture of experts",
          {
              compat::flag_integer("moe-freq", "N", model.moe_freq,
                                   "every N-th layer has experts and a router; 0: none", 0),
              compat::flag_integer("moe-expert-count", "N", model.moe_expert_count,
                                   "experts in each of these layers", 0),
              compat::flag_choice("moe-router", model.moe_router, {"top1", "top2", "soft"},
                                  "the experts of a token: the most probable one, two, or all"),
              loss_weight("moe-gate-loss-wt", moe.gate_loss_wt,
                          "weight of the load-balancing loss (btm/trainer/README.md)"),
              loss_weight("moe-z-loss-wt", moe.z_loss_wt, "weight of the routers' z-loss"),
              compat::flag_choice("moe-train", moe.train, {"all", "routers"},
                                  "which parameters are trained"),
              compat::flag_text("moe-freeze-experts", "LIST", moe.freeze_experts,
                                "comma-separated numbers of experts that stay as they are, or all"),
          }};
}

compat::FlagGroup demix_flags(TrainOptions& o) {
  return {
      "DeMIX",
      {
          compat::flag_switch("desynchronize", o.demix.desynchronize,
                              "each group of ranks has parameters of its own, its expert"),
          compat::flag_text("sync-type", "TYPE", o.demix.sync_type,
                            "none: every rank is a group; manual: --data-parallel-groups"),
          compat::flag_text("data-parallel-groups", "LIST", o.demix.data_parallel_groups,
                            "the ranks of each group: \"0,1 2,3\""),
          compat::flag_text(
              "untie-parameters", "WHICH", o.demix.untie_parameters,
              "parameters that groups do not share: feedforward, transformer, input_output, ..."),
          compat::flag_switch("adaptation", o.demix.adaptation,
                              "train the feed-forward layers alone: a model or an expert adapts to "
                              "a new domain (dapt)"),
          compat::flag_switch("domain-parallel", o.demix.domain_parallel,
                              "accepted; every rank trains on one domain anyway (multidomain)"),
      }};
}

}  // namespace btm
