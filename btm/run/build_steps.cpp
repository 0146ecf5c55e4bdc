#include "btm/run/build_steps.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "compat/base/concat.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

std::string joined(const std::vector<std::string>& parts, char separator = ',') {
  std::string text;
  for (const std::string& part : parts)
    text += (text.empty() ? "" : std::string(1, separator)) + part;
  return text;
}

/// The shortest text that reads back as the same number.
std::string number_text(double value) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

void append(CommandLine& command, const std::vector<std::string>& more) {
  command.insert(command.end(), more.begin(), more.end());
}

class Builder {
 public:
  explicit Builder(const Plan& plan)
      : plan_(plan), data_(plan.data_bin.empty() ? "data-bin" : plan.data_bin.string()) {}

  StepGraph build() {
    if (plan_.data_bin.empty()) add_preprocessing();
    add_seed();
    add_branch();
    for (const std::string& domain : plan_.experts) add_expert(domain);
    if (plan_.dense) add_dense();
    if (plan_.average) add_average();
    add_evaluation();
    if (!plan_.prompts.empty()) add_texts();
    add_report();
    return StepGraph(steps_);
  }

 private:
  std::vector<fs::path> texts(const fs::path& pattern) const {
    std::vector<fs::path> files;
    for (const std::string& domain : plan_.domains)
      files.push_back(Plan::of_domain(pattern, domain));
    return files;
  }

  void add_preprocessing() {
    const bool trains_tokenizer = plan_.tokenizer_model.empty();
    const std::string train_files =
        compat::join(texts(plan_.train), ",", [](const fs::path& file) { return file.string(); });
    CommandLine preprocess{
        "btm-convert",
        "preprocess",
        "--bpe",
        "sentencepiece",
        "--sentencepiece-model",
        trains_tokenizer ? "tokeniser/spm.model" : plan_.tokenizer_model.string(),
        "--domains",
        joined(plan_.domains),
        "--trainpref",
        plan_.train.string(),
        "--validpref",
        plan_.valid.string(),
        "--testpref",
        plan_.test.string(),
        "--destdir",
        data_};
    Step step{.name = "preprocess", .folder = data_};
    for (const auto* pattern : {&plan_.train, &plan_.valid, &plan_.test})
      for (const fs::path& file : texts(*pattern)) step.inputs.push_back(file);
    if (trains_tokenizer) {
      steps_.push_back({.name = "tokeniser",
                        .commands = {{"btm-convert", "train-sentencepiece", "--input", train_files,
                                      "--model-prefix", "tokeniser/spm", "--vocab-size",
                                      std::to_string(plan_.vocab_size)}},
                        .inputs = texts(plan_.train),
                        .outputs = {"tokeniser/spm.model", "tokeniser/spm.dict.txt"},
                        .folder = "tokeniser"});
      append(preprocess, {"--srcdict", "tokeniser/spm.dict.txt"});
      step.after = {"tokeniser"};
    } else {
      step.inputs.push_back(plan_.tokenizer_model);
    }
    step.commands = {std::move(preprocess)};
    step.outputs = {fs::path(data_) / "dict.txt"};
    for (const std::string& domain : plan_.domains)
      for (const char* split : {"train", "valid_", "test_"})
        for (const char* ending : {".bin", ".idx"})
          step.outputs.push_back(fs::path(data_) / domain /
                                 (split + (split == std::string("train") ? "" : domain) + ending));
    steps_.push_back(std::move(step));
  }

  /// The flags that every training has, and its ranks.
  CommandLine train(const std::string& folder, std::int64_t updates, bool all_domains) const {
    const auto experts = static_cast<std::int64_t>(plan_.experts.size());
    const bool many_ranks = plan_.gpus > 0;
    const std::int64_t warmup =
        static_cast<std::int64_t>(plan_.warmup_share * static_cast<double>(plan_.updates));
    CommandLine command{"btm", "train", all_domains ? data_ : ""};
    append(command, {"--arch", plan_.arch, "--sample-break-mode", "none", "--tokens-per-sample",
                     std::to_string(plan_.tokens_per_sample)});
    append(command,
           {"--batch-size", std::to_string(plan_.batch_size), "--update-freq",
            std::to_string(plan_.update_freq * (all_domains && !many_ranks ? experts : 1))});
    append(command, {"--optimizer", "adam", "--adam-betas", "(0.9, 0.95)", "--adam-eps", "10e-8",
                     "--weight-decay", "0.1", "--clip-norm", "0.1"});
    append(command, {"--lr", number_text(plan_.lr), "--lr-scheduler", "polynomial_decay",
                     "--total-num-update", std::to_string(plan_.updates), "--warmup-updates",
                     std::to_string(warmup), "--max-update", std::to_string(updates)});
    append(command, {"--save-dir", folder, "--no-epoch-checkpoints", "--save-interval-updates",
                     std::to_string(std::max<std::int64_t>(1, plan_.updates / 10)),
                     "--keep-interval-updates", "1", "--disable-validation"});
    append(command, {"--log-format", "json", "--log-interval", std::to_string(plan_.log_interval),
                     "--seed", std::to_string(plan_.seed)});
    if (many_ranks)
      append(command, {"--distributed-world-size",
                       std::to_string(plan_.gpus * (all_domains ? experts : 1))});
    append(command, plan_.model_flags);
    append(command, plan_.train_flags);
    return command;
  }

  CommandLine train_on_all(const std::string& folder, std::int64_t updates) const {
    CommandLine command = train(folder, updates, true);
    append(command, {"--task", "multidomain_language_modeling", "--criterion",
                     "desynchronized_cross_entropy", "--train-domains", joined(plan_.experts),
                     "--eval-domains", joined(plan_.experts)});
    if (plan_.gpus == 0) command.emplace_back("--unbalanced");
    return command;
  }

  /// The files that training reads, if no step makes them.
  std::vector<fs::path> training_inputs(const std::vector<std::string>& domains) const {
    std::vector<fs::path> files;
    if (plan_.data_bin.empty()) return files;
    files.push_back(plan_.data_bin / "dict.txt");
    for (const std::string& domain : domains)
      for (const char* ending : {"train.bin", "train.idx"})
        files.push_back(plan_.data_bin / domain / ending);
    return files;
  }

  /// A training that starts as `first` does, and resumes from its own checkpoint after an
  /// interruption.
  void add_training(const std::string& name, const std::string& folder, const CommandLine& plain,
                    const CommandLine& first_flags, const std::vector<std::string>& domains,
                    std::vector<std::string> after) {
    CommandLine first = plain;
    append(first, first_flags);
    const std::string last = folder + "/checkpoint_last.pt";
    Step step{.name = name,
              .commands = {std::move(first)},
              .resume_file = last,
              .resume_commands = {plain},
              .resume_settings = {{"checkpoint", "save_dir", folder}, {"task", "data", plain[2]}},
              .after = std::move(after)};
    step.inputs = training_inputs(domains);
    step.outputs = {last};
    step.folder = folder;
    step.gpus = plan_.gpus;
    steps_.push_back(std::move(step));
  }

  void add_seed() {
    add_training("seed", "seed", train_on_all("seed", plan_.seed_updates()), {}, plan_.experts,
                 plan_.data_bin.empty() ? std::vector<std::string>{"preprocess"}
                                        : std::vector<std::string>{});
    steps_.back().gpus *= static_cast<std::int64_t>(plan_.experts.size());
  }

  void add_branch() {
    steps_.push_back(
        {.name = "branch",
         .commands = {{"btm", "branch", "--old-folder", ".", "--subfolder", "seed", "--new-folder",
                       ".", "--new-subfolder", "branch", "--phase-one-update-num", "-1"}},
         .after = {"seed"},
         .outputs = {"branch/checkpoint_last.pt"},
         .folder = "branch"});
  }

  void add_expert(const std::string& domain) {
    const std::string folder = "experts/" + domain;
    CommandLine command = train(folder, plan_.updates, false);
    command[2] = (fs::path(data_) / domain).string();
    append(command, {"--task", "language_modeling", "--criterion", "cross_entropy"});
    add_training("expert." + domain, folder, command,
                 {"--restore-file", "branch/checkpoint_last.pt", "--reset-dataloader"}, {domain},
                 {"branch"});
    steps_.back().group = "experts";
  }

  void add_dense() {
    add_training("dense", "dense", train_on_all("dense", plan_.updates),
                 {"--restore-file", "seed/checkpoint_last.pt"}, plan_.experts, {"seed"});
    steps_.back().gpus *= static_cast<std::int64_t>(plan_.experts.size());
  }

  std::vector<std::string> expert_steps() const {
    std::vector<std::string> names;
    for (const std::string& domain : plan_.experts) names.push_back("expert." + domain);
    return names;
  }

  void add_average() {
    std::vector<std::string> files;
    for (const std::string& domain : plan_.experts)
      files.push_back("experts/" + domain + "/checkpoint_last.pt");
    steps_.push_back({.name = "average",
                      .commands = {{"btm", "average", "--output-dir", "average", "--model-files",
                                    joined(files, ':')}},
                      .after = expert_steps(),
                      .outputs = {"average/checkpoint_last.pt"},
                      .folder = "average"});
  }

  void add_evaluation() {
    CommandLine command{"btm", "eval-matrix", data_, "seed=seed/checkpoint_last.pt"};
    std::vector<std::string> after = expert_steps();
    for (const std::string& domain : plan_.experts)
      command.push_back(domain + "=experts/" + domain + "/checkpoint_last.pt");
    for (const auto& [wanted, name] :
         {std::pair{plan_.dense, "dense"}, {plan_.average, "average"}}) {
      if (!wanted) continue;
      command.push_back(std::string(name) + "=" + name + "/checkpoint_last.pt");
      after.emplace_back(name);
    }
    append(command,
           {"--experts", joined(plan_.experts), "--ensembles", joined_names(plan_.ensembles),
            "--baseline", plan_.dense ? "dense" : "seed", "--domains", joined(plan_.domains),
            "--split", plan_.split, "--prior-batches", std::to_string(plan_.prior_batches),
            "--tokens-per-sample", std::to_string(plan_.tokens_per_sample), "--batch-size",
            std::to_string(plan_.batch_size), "--out", "eval"});
    append(command, plan_.eval_flags);
    Step step{.name = "evaluate", .commands = {std::move(command)}, .after = std::move(after)};
    if (!plan_.data_bin.empty()) step.inputs = evaluation_inputs();
    step.outputs = {"eval/matrix.json", "eval/matrix.csv", "eval/report.html"};
    step.gpus = plan_.gpus > 0 ? 1 : 0;
    steps_.push_back(std::move(step));  // its folder keeps the scores of models that stay the same
  }

  std::vector<fs::path> evaluation_inputs() const {
    std::vector<fs::path> files{plan_.data_bin / "dict.txt"};
    for (const std::string& domain : plan_.domains)
      for (const std::string& split : {plan_.split, std::string("valid")})
        for (const std::string& name : {split + "_" + domain, split})
          for (const char* ending : {".bin", ".idx"})
            if (const fs::path file = plan_.data_bin / domain / (name + ending);
                fs::is_regular_file(file))
              files.push_back(file);
    return files;
  }

  CommandLine generate(const std::string& models, const std::string& name) const {
    CommandLine command{"btm",    "generate", models, "--file", plan_.prompts.string(),
                        "--data", data_};
    if (plan_.data_bin.empty() || !plan_.tokenizer_model.empty())
      append(command, {"--bpe", "sentencepiece", "--sentencepiece-model",
                       plan_.tokenizer_model.empty() ? "tokeniser/spm.model"
                                                     : plan_.tokenizer_model.string()});
    append(command, plan_.generate_flags.empty()
                        ? CommandLine{"--sampling", "--sampling-topp", "0.9", "--max-len-b", "60",
                                      "--seed", std::to_string(plan_.seed)}
                        : plan_.generate_flags);
    append(command, {"--format", "jsonl", "--results-path", texts_file(name).string()});
    return command;
  }

  /// The prompts continued by the seed model, by each expert, and by all experts together.
  void add_texts() {
    Step step{
        .name = "texts", .after = expert_steps(), .inputs = {plan_.prompts}, .folder = "texts"};
    step.after.emplace_back("seed");
    if (!plan_.data_bin.empty()) step.inputs.push_back(plan_.data_bin / "dict.txt");
    step.commands.push_back(generate("seed/checkpoint_last.pt", "seed"));
    step.outputs.push_back(texts_file("seed"));
    std::vector<std::string> experts;
    for (const std::string& domain : plan_.experts) {
      const std::string file = "experts/" + domain + "/checkpoint_last.pt";
      step.commands.push_back(generate(file, "expert." + domain));
      step.outputs.push_back(texts_file("expert." + domain));
      experts.push_back(domain + "=" + file);
    }
    CommandLine together = generate(joined(experts, ':'), "ensemble");
    append(together, {"--ensemble-type", "uniform_prior", "--posterior", "full"});
    step.commands.push_back(std::move(together));
    step.outputs.push_back(texts_file("ensemble"));
    steps_.push_back(std::move(step));
  }

  void add_report() {
    std::vector<std::string> after{"evaluate"};
    if (!plan_.prompts.empty()) after.emplace_back("texts");
    steps_.push_back({.name = "report",
                      .commands = {{"btm", "run", fs::absolute(plan_.file).string(), "--report"}},
                      .after = after,
                      .outputs = {"report.html", "summary.json"}});
  }

  const Plan& plan_;
  std::string data_;
  std::vector<Step> steps_;
};

}  // namespace

fs::path texts_file(const std::string& model) { return "texts/" + model + ".jsonl"; }

StepGraph build_steps(const Plan& plan) { return Builder(plan).build(); }

std::int64_t tokens_of_expert_update(const Plan& plan) {
  return plan.batch_size * plan.update_freq * std::max<std::int64_t>(1, plan.gpus) *
         plan.tokens_per_sample;
}

std::int64_t tokens_of_seed_update(const Plan& plan) {
  return tokens_of_expert_update(plan) * static_cast<std::int64_t>(plan.experts.size());
}

}  // namespace btm
