#include "btm/run/build_steps.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

template <class T>
void append(std::vector<T>& list, const std::vector<std::type_identity_t<T>>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

/// Which text of the commands the builder writes: what is run, or what the key is made of. The
/// latter has a mark in place of each domain's name and each absolute path, because content tells
/// domains and files apart.
enum class Writes { kCommands, kIdentity };

class Builder {
 public:
  Builder(const Plan& plan, const Lineup& lineup, Writes writes)
      : plan_(plan),
        lineup_(lineup),
        is_identity_(writes == Writes::kIdentity),
        data_(plan.data_bin.empty() ? "data-bin" : path_text(plan.data_bin, "{bin}")) {}

  std::vector<Step> build() {
    if (plan_.data_bin.empty()) add_preprocessing();
    add_seed();
    add_branch();
    for (const std::string& domain : lineup_.trained) add_expert(domain);
    if (plan_.dense) add_dense();
    if (plan_.average) add_average();
    add_evaluation();
    if (!plan_.prompts.empty()) add_texts();
    add_report();
    return std::move(steps_);
  }

 private:
  std::string path_text(const fs::path& path, const char* mark) const {
    return is_identity_ ? mark : path.string();
  }
  /// A domain's name where only its content matters.
  std::string called(const std::string& domain) const { return is_identity_ ? "{}" : domain; }
  std::string called(const std::vector<std::string>& domains) const {
    return compat::join(domains, ",", [this](const std::string& name) { return called(name); });
  }
  std::vector<std::string> preprocessed(const std::vector<std::string>& domains) const {
    std::vector<std::string> steps;
    if (!plan_.data_bin.empty()) return steps;
    for (const std::string& domain : domains) steps.push_back("preprocess." + domain);
    return steps;
  }
  /// Folder `parent` of a domain or expert in the run's folder.
  fs::path folder_of(const char* parent, const std::string& domain) const {
    return fs::path(parent) / called(domain);
  }
  std::string expert_file(const std::string& name) const {
    for (const BroughtExpert& expert : lineup_.brought)
      if (expert.name == name) return path_text(expert.checkpoint, "{brought}");
    return (folder_of("experts", name) / "checkpoint_last.pt").string();
  }
  std::vector<fs::path> brought_files() const {
    std::vector<fs::path> files;
    for (const BroughtExpert& expert : lineup_.brought)
      files.push_back(plan_.output / expert.checkpoint);
    return files;
  }

  std::vector<fs::path> texts(const fs::path& pattern) const {
    if (plan_.has_corpus()) return {plan_.corpus};
    std::vector<fs::path> files;
    for (const std::string& domain : lineup_.founders)
      files.push_back(Plan::of_domain(pattern, domain));
    return files;
  }

  std::string tokenizer() const {
    return plan_.tokenizer_model.empty() ? "tokeniser/spm.model"
                                         : path_text(plan_.tokenizer_model, "{model}");
  }

  void add_preprocessing() {
    if (plan_.tokenizer_model.empty()) add_tokenizer();
    if (plan_.has_corpus()) add_clusters();
    add_dictionary();
    for (const std::string& domain : lineup_.domains) add_preprocessing(domain);
  }

  void add_tokenizer() {
    const std::string files = compat::join(texts(plan_.train), ",", [this](const fs::path& file) {
      return path_text(file, "{train}");
    });
    steps_.push_back({.name = "tokeniser",
                      .commands = {{"btm-convert", "train-sentencepiece", "--input", files,
                                    "--model-prefix", "tokeniser/spm", "--vocab-size",
                                    std::to_string(plan_.vocab_size), "--overwrite"}},
                      .inputs = texts(plan_.train),
                      .outputs = {"tokeniser/spm.model", "tokeniser/spm.dict.txt"},
                      .folder = "tokeniser"});
  }

  /// The corpus by clusters, as text/cN/NAME of the run's folder.
  void add_clusters() {
    const std::string corpus = path_text(plan_.corpus, "{corpus}");
    CommandLine train{"btm",      "cluster",        "train",
                      corpus,     "--num-clusters", std::to_string(plan_.clusters),
                      "--output", "clusters/model", "--overwrite"};
    CommandLine assign{"btm",  "cluster",      "assign", "clusters/model",
                       corpus, "--output-dir", "text",   "--overwrite"};
    if (plan_.clusters_balanced)
      assign.emplace_back("--balanced");
    else
      train.emplace_back("--unbalanced");
    append(train, plan_.cluster_flags);
    steps_.push_back({.name = "clusters",
                      .commands = {std::move(train)},
                      .inputs = {plan_.corpus},
                      .outputs = {"clusters/model"},
                      .folder = "clusters"});
    Step split{.name = "split",
               .commands = {std::move(assign)},
               .after = {"clusters"},
               .inputs = {plan_.corpus},
               .folder = "text"};
    for (const std::string& domain : plan_.domains) split.outputs.push_back(cluster_text(domain));
    steps_.push_back(std::move(split));
  }

  /// The text of a cluster, whose number, not its name, is in the path.
  fs::path cluster_text(const std::string& domain) const {
    const auto place = std::ranges::find(plan_.domains, domain) - plan_.domains.begin();
    return fs::path("text") / ("c" + std::to_string(place)) / plan_.corpus.filename();
  }

  /// The dictionary of all domains, also of those that come later.
  void add_dictionary() {
    CommandLine command{"btm-convert", "preprocess", "--dict-only", "--destdir", data_};
    Step step{.name = "dictionary", .outputs = {fs::path(data_) / "dict.txt"}};
    if (plan_.tokenizer_model.empty()) {
      append(command, {"--srcdict", "tokeniser/spm.dict.txt"});
      step.after = {"tokeniser"};
    } else {
      const std::string files = compat::join(texts(plan_.train), ",", [this](const fs::path& file) {
        return path_text(file, "{train}");
      });
      append(command, {"--bpe", "sentencepiece", "--sentencepiece-model", tokenizer(),
                       "--trainpref", files});
      step.inputs = texts(plan_.train);
      step.inputs.push_back(plan_.tokenizer_model);
    }
    step.commands = {std::move(command)};
    steps_.push_back(std::move(step));
  }

  void add_preprocessing(const std::string& domain) {
    const fs::path folder = folder_of("data-bin", domain);
    CommandLine command{"btm-convert",           "preprocess", "--bpe",     "sentencepiece",
                        "--sentencepiece-model", tokenizer(),  "--srcdict", data_ + "/dict.txt"};
    Step step{.name = "preprocess." + domain, .after = {"dictionary"}, .folder = folder};
    if (plan_.tokenizer_model.empty())
      step.after.emplace_back("tokeniser");
    else
      step.inputs.push_back(plan_.tokenizer_model);
    std::string ending = "_" + called(domain);
    if (plan_.has_corpus()) {
      step.after.emplace_back("split");
      ending.clear();
      const std::string share = compat::shortest(plan_.held_out);
      append(command, {"--trainpref", cluster_text(domain).string(), "--valid-fraction", share,
                       "--test-fraction", share, "--destdir", folder.string()});
    } else {
      append(command,
             {"--domains", called(domain), "--trainpref", path_text(plan_.train, "{train}"),
              "--validpref", path_text(plan_.valid, "{valid}"), "--testpref",
              path_text(plan_.test, "{test}"), "--destdir", data_});
      append(step.inputs, founder_files(plan_, domain));
    }
    step.commands = {std::move(command)};
    step.outputs = {folder / "dict.txt"};
    for (const std::string& set : {std::string("train"), "valid" + ending, "test" + ending})
      for (const char* file : {".bin", ".idx"}) step.outputs.push_back(folder / (set + file));
    step.group = "preprocess";
    steps_.push_back(std::move(step));
  }

  /// The flags that every training has, and its ranks.
  CommandLine train(const std::string& folder, std::int64_t updates, bool all_domains) const {
    const auto experts = static_cast<std::int64_t>(lineup_.seed_domains.size());
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
    append(command, {"--lr", compat::shortest(plan_.lr), "--lr-scheduler", "polynomial_decay",
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
                     "desynchronized_cross_entropy", "--train-domains",
                     called(lineup_.seed_domains), "--eval-domains", called(lineup_.seed_domains)});
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
              .resume_settings = {{"checkpoint", "save_dir", folder},
                                  {"task", "data", plain[2], !plan_.data_bin.empty()}},
              .after = std::move(after)};
    step.inputs = training_inputs(domains);
    step.outputs = {last};
    step.folder = folder;
    step.gpus = plan_.gpus;
    steps_.push_back(std::move(step));
  }

  void add_seed() {
    add_training("seed", "seed", train_on_all("seed", plan_.seed_updates()), {},
                 lineup_.seed_domains, preprocessed(lineup_.seed_domains));
    steps_.back().gpus *= static_cast<std::int64_t>(lineup_.seed_domains.size());
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
    const std::string folder = folder_of("experts", domain).string();
    CommandLine command = train(folder, plan_.updates, false);
    command[2] = (fs::path(data_) / called(domain)).string();
    append(command, {"--task", "language_modeling", "--criterion", "cross_entropy"});
    std::vector<std::string> after{"branch"};
    append(after, preprocessed({domain}));
    add_training("expert." + domain, folder, command,
                 {"--restore-file", "branch/checkpoint_last.pt", "--reset-dataloader"}, {domain},
                 std::move(after));
    steps_.back().group = "experts";
  }

  void add_dense() {
    add_training("dense", "dense", train_on_all("dense", plan_.updates),
                 {"--restore-file", "seed/checkpoint_last.pt"}, lineup_.seed_domains, {"seed"});
    steps_.back().gpus *= static_cast<std::int64_t>(lineup_.seed_domains.size());
  }

  std::vector<std::string> expert_steps() const {
    std::vector<std::string> names;
    for (const std::string& domain : lineup_.trained) names.push_back("expert." + domain);
    return names;
  }

  void add_average() {
    std::vector<std::string> files;
    for (const std::string& name : lineup_.experts()) files.push_back(expert_file(name));
    steps_.push_back({.name = "average",
                      .commands = {{"btm", "average", "--output-dir", "average", "--overwrite",
                                    "--model-files", compat::join(files, ":")}},
                      .after = expert_steps(),
                      .inputs = brought_files(),
                      .outputs = {"average/checkpoint_last.pt"},
                      .folder = "average"});
  }

  /// Its key holds the names of models and domains, because its results do.
  void add_evaluation() {
    CommandLine command{"btm", "eval-matrix", data_, "seed=seed/checkpoint_last.pt"};
    std::vector<std::string> after = expert_steps();
    append(after, preprocessed(lineup_.domains));
    const std::vector<std::string> experts = lineup_.experts();
    for (const std::string& name : experts) command.push_back(name + "=" + expert_file(name));
    for (const auto& [wanted, name] :
         {std::pair{plan_.dense, "dense"}, {plan_.average, "average"}}) {
      if (!wanted) continue;
      command.push_back(std::string(name) + "=" + name + "/checkpoint_last.pt");
      after.emplace_back(name);
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
      *++ensembles += ",cluster_prior";
      append(command, {"--cluster-model", "clusters/model"});
      after.emplace_back("clusters");
    }
    append(command, plan_.eval_flags);
    Step step{.name = "evaluate", .commands = {std::move(command)}, .after = std::move(after)};
    step.inputs = brought_files();
    for (const BroughtExpert& expert : lineup_.brought) append(step.inputs, expert.data_files);
    if (!plan_.data_bin.empty()) append(step.inputs, evaluation_inputs());
    step.outputs = {"eval/matrix.json", "eval/matrix.csv", "eval/report.html"};
    step.gpus = plan_.gpus > 0 ? 1 : 0;
    steps_.push_back(std::move(step));  // its folder keeps the scores of models that stay the same
  }

  std::vector<fs::path> evaluation_inputs() const {
    std::vector<fs::path> files{plan_.data_bin / "dict.txt"};
    for (const std::string& domain : lineup_.evaluated)
      for (const std::string& split : {plan_.split, std::string("valid")})
        for (const std::string& name : {split + "_" + domain, split})
          for (const char* ending : {".bin", ".idx"})
            if (const fs::path file = plan_.data_bin / domain / (name + ending);
                fs::is_regular_file(file))
              files.push_back(file);
    return files;
  }

  CommandLine generate(const std::string& models, const std::string& name) const {
    CommandLine command{
        "btm",    "generate", models, "--file", path_text(plan_.prompts, "{prompts}"),
        "--data", data_};
    if (plan_.data_bin.empty() || !plan_.tokenizer_model.empty())
      append(command, {"--bpe", "sentencepiece", "--sentencepiece-model", tokenizer()});
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
    Step step{
        .name = "texts", .after = expert_steps(), .inputs = {plan_.prompts}, .folder = "texts"};
    step.after.emplace_back("seed");
    if (!plan_.data_bin.empty()) step.inputs.push_back(plan_.data_bin / "dict.txt");
    step.commands.push_back(generate("seed/checkpoint_last.pt", "seed"));
    step.outputs.push_back(texts_file("seed"));
    for (const fs::path& file : brought_files()) step.inputs.push_back(file);
    std::vector<std::string> experts;
    for (const std::string& name : lineup_.experts()) {
      step.commands.push_back(generate(expert_file(name), "expert." + name));
      step.outputs.push_back(texts_file("expert." + name));
      experts.push_back(name + "=" + expert_file(name));
    }
    CommandLine together = generate(compat::join(experts, ":"), "ensemble");
    append(together, {"--ensemble-type", "uniform_prior", "--posterior", "full"});
    step.commands.push_back(std::move(together));
    step.outputs.push_back(texts_file("ensemble"));
    steps_.push_back(std::move(step));
  }

  void add_report() {
    std::vector<std::string> after{"evaluate"};
    if (!plan_.prompts.empty()) after.emplace_back("texts");
    steps_.push_back(
        {.name = "report",
         .commands = {{"btm", "run", path_text(fs::absolute(plan_.file), "{plan}"), "--report"}},
         .after = after,
         .outputs = {"report.html", "summary.json"}});
  }

  const Plan& plan_;
  const Lineup& lineup_;
  bool is_identity_;
  std::string data_;
  std::vector<Step> steps_;
};

}  // namespace

fs::path texts_file(const std::string& model) { return "texts/" + model + ".jsonl"; }

StepGraph build_steps(const Plan& plan, const Lineup& lineup) {
  std::vector<Step> steps = Builder(plan, lineup, Writes::kCommands).build();
  const std::vector<Step> identities = Builder(plan, lineup, Writes::kIdentity).build();
  for (std::size_t i = 0; i < steps.size(); ++i) {
    Step identity = identities[i];
    identity.name = identity.name.substr(0, identity.name.find('.'));  // "expert" of expert.perl
    steps[i].identity = identity_of(identity);
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
