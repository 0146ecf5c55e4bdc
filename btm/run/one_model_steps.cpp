#include "btm/run/one_model_steps.h"

#include <algorithm>

#include "btm/run/training_steps.h"
#include "compat/base/concat.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

CommandLine average_command(const StepNames& names, const std::string& folder) {
  std::vector<std::string> files;
  for (const std::string& name : names.lineup().experts()) files.push_back(names.expert_file(name));
  return {"btm",         "average",       "--output-dir",          folder,
          "--overwrite", "--model-files", compat::join(files, ":")};
}

Step average_step(const StepNames& names) {
  return {.name = "average",
          .commands = {average_command(names, "average")},
          .after = names.expert_steps(),
          .inputs = names.brought_files(),
          .outputs = {"average/checkpoint_last.pt"},
          .folder = "average"};
}

/// An interrupted attempt goes on from its tune.json, which --overwrite would begin anew.
Step tuned_step(const StepNames& names) {
  const Plan& plan = names.plan();
  std::vector<std::string> domains;  // not those that came with an expert: they may lack a split
  for (const std::string& domain : names.lineup().evaluated)
    if (std::ranges::find(names.lineup().domains, domain) != names.lineup().domains.end())
      domains.push_back(domain);
  CommandLine command = average_command(names, "tuned");
  append(command,
         {"--tune", names.data(), "--tune-domains", names.called(domains), "--tune-evaluations",
          std::to_string(plan.tune), "--held-out-subset", plan.split, "--tokens-per-sample",
          std::to_string(plan.tokens_per_sample), "--seed", std::to_string(plan.seed)});
  append(command, plan.tune_flags);
  CommandLine resume = command;
  std::erase(resume, "--overwrite");
  Step step{.name = "tuned",
            .commands = {std::move(command)},
            .resume_file = "tuned/tune.json",
            .resume_commands = {std::move(resume)},
            .after = names.expert_steps(),
            .inputs = names.brought_files(),
            .outputs = {"tuned/checkpoint_last.pt", "tuned/tune.json", "tuned/tune.html"},
            .folder = "tuned",
            .gpus = plan.gpus > 0 ? 1 : 0};
  append(step.after, names.preprocessed(domains));
  append(step.inputs, names.evaluation_inputs());
  return step;
}

/// Routers start from text only where every expert has a domain of the plan.
std::string router_start(const StepNames& names) {
  return names.lineup().brought.empty() ? names.plan().mix.router : "random";
}

/// Its key holds the experts' names, because the mixture does.
Step mix_step(const StepNames& names) {
  const Plan& plan = names.plan();
  CommandLine command{"btm", "mix"};
  append(command, names.named_experts());
  append(command, {"--output", "mix", "--overwrite", "--moe-router", plan.mix.moe_router,
                   "--router", router_start(names)});
  if (router_start(names) != "random") append(command, {"--data", names.data()});
  append(command, {"--seed", std::to_string(plan.seed)});
  append(command, plan.mix.flags);
  Step step{.name = "mix",
            .commands = {std::move(command)},
            .after = names.expert_steps(),
            .inputs = names.brought_files(),
            .outputs = {"mix/checkpoint_last.pt"},
            .folder = "mix",
            .gpus = plan.gpus > 0 ? 1 : 0};
  append(step.after, names.preprocessed(names.lineup().trained));
  append(step.inputs, names.evaluation_inputs());
  return step;
}

/// Its key holds the domains' names, because the picture does.
Step routing_step(const StepNames& names) {
  const Plan& plan = names.plan();
  Step step{.name = "routing",
            .commands = {{"btm", "routing", names.data(), "mixture/checkpoint_last.pt", "--domains",
                          compat::join(names.lineup().evaluated, ","), "--split", plan.split,
                          "--out", "routing", "--overwrite"}},
            .after = {"mixture"},
            .inputs = names.evaluation_inputs(),
            .outputs = {"routing/routing.json", "routing/report.html"},
            .folder = "routing",
            .gpus = plan.gpus > 0 ? 1 : 0};
  append(step.after, names.preprocessed(names.lineup().domains));
  return step;
}

}  // namespace

std::vector<Step> one_model_steps(const StepNames& names) {
  const Plan& plan = names.plan();
  std::vector<Step> steps;
  if (plan.average) steps.push_back(average_step(names));
  if (plan.tune > 0) steps.push_back(tuned_step(names));
  if (!plan.mix.wanted()) return steps;
  steps.push_back(mix_step(names));
  steps.push_back(mixture_step(names));
  steps.push_back(routing_step(names));
  return steps;
}

std::vector<OtherModel> other_models(const Plan& plan) {
  std::vector<OtherModel> models;
  if (plan.dense) models.push_back({"dense", "dense", "dense/checkpoint_last.pt"});
  if (plan.along_run > 0) models.push_back({"dense", "dense averaged", "dense/averaged.pt"});
  if (plan.average) models.push_back({"average", "average", "average/checkpoint_last.pt"});
  if (plan.tune > 0) models.push_back({"tuned", "tuned average", "tuned/checkpoint_last.pt"});
  if (plan.mix.wanted()) models.push_back({"mixture", "mixture", "mixture/checkpoint_last.pt"});
  return models;
}

}  // namespace btm
