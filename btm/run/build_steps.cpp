#include "btm/run/build_steps.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "btm/run/one_model_steps.h"
#include "btm/run/preprocess_steps.h"
#include "btm/run/training_steps.h"
#include "compat/base/concat.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

class Builder {
 public:
  Builder(const Plan& plan, const Lineup& lineup, Writes writes)
      : plan_(plan), lineup_(lineup), names_(plan, lineup, writes) {}

  std::vector<Step> build() {
    if (plan_.data_bin.empty()) steps_ = preprocess_steps(names_);
    steps_.push_back(seed_step(names_));
    add_branch();
    for (const std::string& domain : lineup_.trained) steps_.push_back(expert_step(names_, domain));
    if (plan_.dense) steps_.push_back(dense_step(names_));
    append(steps_, one_model_steps(names_));
    add_evaluation();
    if (!plan_.prompts.empty()) add_texts();
    add_report();
    return std::move(steps_);
  }

 private:
  void add_branch() {
    steps_.push_back(
        {.name = "branch",
         .commands = {{"btm", "branch", "--old-folder", ".", "--subfolder", "seed", "--new-folder",
                       ".", "--new-subfolder", "branch", "--phase-one-update-num", "-1"}},
         .after = {"seed"},
         .outputs = {"branch/checkpoint_last.pt"},
         .folder = "branch"});
  }

  /// Its key holds the names of models and domains, because its results do.
  void add_evaluation() {
    CommandLine command{"btm", "eval-matrix", names_.data(), "seed=seed/checkpoint_last.pt"};
    std::vector<std::string> after = names_.expert_steps();
    append(after, names_.preprocessed(lineup_.domains));
    const std::vector<std::string> experts = lineup_.experts();
    append(command, names_.named_experts());
    for (const OtherModel& model : other_models(plan_)) {
      command.push_back(model.name + "=" + model.file.string());
      if (std::ranges::find(after, model.step) == after.end()) after.push_back(model.step);
    }
    append(command, {"--experts", compat::join(experts, ","), "--ensembles",
                     joined_names(plan_.ensembles), "--baseline", plan_.dense ? "dense" : "seed",
                     "--domains", compat::join(lineup_.evaluated, ","), "--split", plan_.split,
                     "--prior-batches", std::to_string(plan_.prior_batches), "--tokens-per-sample",
                     std::to_string(plan_.tokens_per_sample), "--batch-size",
                     std::to_string(plan_.batch_size), "--out", "eval"});
    const bool mixes_clusters = plan_.has_corpus() && experts == plan_.domains;
    if (mixes_clusters) {
      auto ensembles = std::ranges::find(command, "--ensembles");
      if (std::ranges::find(plan_.ensembles, EnsembleType::kClusterPrior) == plan_.ensembles.end())
        *++ensembles += ",cluster_prior";
      append(command, {"--cluster-model", "clusters/model"});
      after.emplace_back("clusters");
    }
    append(command, plan_.eval_flags);
    Step step{.name = "evaluate", .commands = {std::move(command)}, .after = std::move(after)};
    step.inputs = names_.brought_files();
    append(step.inputs, names_.evaluation_inputs());
    step.outputs = {"eval/matrix.json", "eval/matrix.csv", "eval/report.html"};
    step.gpus = plan_.gpus > 0 ? 1 : 0;
    steps_.push_back(std::move(step));  // its folder keeps the scores of models that stay the same
  }

  CommandLine generate(const std::string& models, const std::string& name) const {
    CommandLine command{
        "btm",    "generate",   models, "--file", names_.path_text(plan_.prompts, "{prompts}"),
        "--data", names_.data()};
    if (plan_.data_bin.empty() || !plan_.tokenizer_model.empty())
      append(command, {"--bpe", "sentencepiece", "--sentencepiece-model", names_.tokenizer()});
    append(command, plan_.generate_flags.empty()
                        ? CommandLine{"--sampling", "--sampling-topp", "0.9", "--max-len-b", "60",
                                      "--seed", std::to_string(plan_.seed)}
                        : plan_.generate_flags);
    append(command,
           {"--format", "jsonl", "--overwrite", "--results-path", texts_file(name).string()});
    return command;
  }

  /// The prompts continued by the seed model, by each expert, and by all experts together.
  void add_texts() {
    Step step{.name = "texts",
              .after = names_.expert_steps(),
              .inputs = {plan_.prompts},
              .folder = "texts"};
    step.after.emplace_back("seed");
    if (!plan_.data_bin.empty()) step.inputs.push_back(plan_.data_bin / "dict.txt");
    step.commands.push_back(generate("seed/checkpoint_last.pt", "seed"));
    step.outputs.push_back(texts_file("seed"));
    for (const fs::path& file : names_.brought_files()) step.inputs.push_back(file);
    for (const std::string& name : lineup_.experts()) {
      step.commands.push_back(generate(names_.expert_file(name), "expert." + name));
      step.outputs.push_back(texts_file("expert." + name));
    }
    CommandLine together = generate(compat::join(names_.named_experts(), ":"), "ensemble");
    append(together, {"--ensemble-type", "uniform_prior", "--posterior", "full"});
    step.commands.push_back(std::move(together));
    step.outputs.push_back(texts_file("ensemble"));
    steps_.push_back(std::move(step));
  }

  void add_report() {
    std::vector<std::string> after{"evaluate"};
    if (!plan_.prompts.empty()) after.emplace_back("texts");
    if (plan_.mix.wanted()) after.emplace_back("routing");
    steps_.push_back(
        {.name = "report",
         .commands = {{"btm", "run", names_.path_text(fs::absolute(plan_.file), "{plan}"),
                       "--report"}},
         .after = after,
         .outputs = {"report.html", "summary.json"}});
  }

  const Plan& plan_;
  const Lineup& lineup_;
  StepNames names_;
  std::vector<Step> steps_;
};

/// The flags of btm's commands whose value is a file that they read.
constexpr std::array<std::string_view, 13> kFileFlags{
    "--base-model",    "--bpe-codes",         "--bpe-merges",     "--bpe-vocab",
    "--cluster-model", "--ema-seed-model",    "--fastbpe-vocab",  "--finetune-from-model",
    "--restore-file",  "--gpt2-encoder-json", "--gpt2-vocab-bpe", "--sentencepiece-model",
    "--weights-from"};

/// The files that flags of the plan name and the step's commands read. Those in the run's folder
/// are passed over: steps make them.
std::vector<fs::path> files_in_flags(const Plan& plan, const Step& step) {
  std::vector<fs::path> files;
  const auto add = [&](std::string_view flag, std::string_view value) {
    if (std::ranges::find(kFileFlags, flag) == kFileFlags.end()) return;
    const fs::path file = (plan.output / value).lexically_normal();
    const fs::path in_output = file.lexically_relative(plan.output);
    std::error_code missing;
    if (!in_output.empty() && *in_output.begin() == ".." && fs::is_regular_file(file, missing))
      files.push_back(file);
  };
  for (const auto& [entry, words] : flag_entries(plan)) {
    if (std::ranges::none_of(step.commands, [&](const CommandLine& command) {
          return !std::ranges::search(command, *words).empty();
        }))
      continue;
    for (std::size_t i = 0; i < words->size(); ++i) {
      const std::string_view word = (*words)[i];
      const std::size_t equals = word.find('=');
      if (equals != std::string_view::npos)
        add(word.substr(0, equals), word.substr(equals + 1));
      else if (i + 1 < words->size())
        add(word, (*words)[i + 1]);
    }
  }
  return files;
}

}  // namespace

std::vector<std::pair<const char*, const std::vector<std::string>*>> flag_entries(
    const Plan& plan) {
  return {{"[clusters] flags", &plan.cluster_flags}, {"[model] flags", &plan.model_flags},
          {"[train] flags", &plan.train_flags},      {"[experts] tune_flags", &plan.tune_flags},
          {"[mix] flags", &plan.mix.flags},          {"[mix] train_flags", &plan.mix.train_flags},
          {"[evaluate] flags", &plan.eval_flags},    {"[generate] flags", &plan.generate_flags}};
}

fs::path texts_file(const std::string& model) { return "texts/" + model + ".jsonl"; }

StepGraph build_steps(const Plan& plan, const Lineup& lineup) {
  std::vector<Step> steps = Builder(plan, lineup, Writes::kCommands).build();
  const std::vector<Step> identities = Builder(plan, lineup, Writes::kIdentity).build();
  for (std::size_t i = 0; i < steps.size(); ++i) {
    Step identity = identities[i];
    identity.name = identity.name.substr(0, identity.name.find('.'));  // "expert" of expert.perl
    steps[i].identity = identity_of(identity);
    append(steps[i].inputs, files_in_flags(plan, steps[i]));
  }
  return StepGraph(std::move(steps));
}

StepGraph build_steps(const Plan& plan) { return build_steps(plan, lineup_of(plan)); }

std::int64_t tokens_of_expert_update(const Plan& plan) {
  return plan.batch_size * plan.update_freq * std::max<std::int64_t>(1, plan.gpus) *
         plan.tokens_per_sample;
}

std::int64_t tokens_of_seed_update(const Plan& plan, const Lineup& lineup) {
  return tokens_of_expert_update(plan) * static_cast<std::int64_t>(lineup.seed_domains.size());
}

}  // namespace btm
