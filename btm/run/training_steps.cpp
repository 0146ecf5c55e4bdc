#include "btm/run/training_steps.h"

#include <algorithm>
#include <utility>

#include "compat/base/numbers.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

/// In what the trainings of a run differ.
struct Course {
  std::string name, folder;
  std::vector<std::string> domains;
  bool joins_domains = true;  ///< Not of an expert: it has one domain.
  std::int64_t updates = 0;   ///< Where it stops, ...
  std::int64_t total = 0;     ///< ... and where the learning rate ends.
  double lr = 0;
  std::int64_t kept = 1;  ///< Checkpoints.
};

class TrainingStep {
 public:
  TrainingStep(const StepNames& names, Course course)
      : names_(names), plan_(names.plan()), course_(std::move(course)) {}

  /// A training that starts as `first_flags` say, and resumes from its own checkpoint after an
  /// interruption.
  Step step(const CommandLine& more, const CommandLine& first_flags,
            std::vector<std::string> after) const {
    CommandLine plain = command();
    append(plain, more);
    CommandLine first = plain;
    append(first, first_flags);
    const std::string last = course_.folder + "/checkpoint_last.pt";
    Step step{.name = course_.name,
              .commands = {std::move(first)},
              .resume_file = last,
              .resume_commands = {plain},
              .resume_settings = {{"checkpoint", "save_dir", course_.folder},
                                  {"task", "data", plain[2], !plan_.data_bin.empty()}},
              .after = std::move(after)};
    step.inputs = inputs();
    step.outputs = {last};
    step.folder = course_.folder;
    step.gpus = plan_.gpus * ranks();
    return step;
  }

 private:
  /// Of one GPU's work each.
  std::int64_t ranks() const { return course_.joins_domains ? std::ssize(course_.domains) : 1; }

  CommandLine command() const {
    const bool many_ranks = plan_.gpus > 0;
    const std::int64_t warmup =
        static_cast<std::int64_t>(plan_.warmup_share * static_cast<double>(course_.total));
    CommandLine command{
        "btm", "train",
        course_.joins_domains
            ? names_.data()
            : (fs::path(names_.data()) / names_.called(course_.domains.front())).string()};
    append(command, {"--arch", plan_.arch, "--sample-break-mode", "none", "--tokens-per-sample",
                     std::to_string(plan_.tokens_per_sample)});
    append(command, {"--batch-size", std::to_string(plan_.batch_size), "--update-freq",
                     std::to_string(plan_.update_freq * (many_ranks ? 1 : ranks()))});
    append(command, {"--optimizer", "adam", "--adam-betas", "(0.9, 0.95)", "--adam-eps", "10e-8",
                     "--weight-decay", "0.1", "--clip-norm", "0.1"});
    append(command, {"--lr", compat::shortest(course_.lr), "--lr-scheduler", "polynomial_decay",
                     "--total-num-update", std::to_string(course_.total), "--warmup-updates",
                     std::to_string(warmup), "--max-update", std::to_string(course_.updates)});
    append(command,
           {"--save-dir", course_.folder, "--no-epoch-checkpoints", "--save-interval-updates",
            std::to_string(plan_.save_interval()), "--keep-interval-updates",
            std::to_string(course_.kept), "--disable-validation"});
    append(command, {"--log-format", "json", "--log-interval", names_.log_interval(), "--seed",
                     std::to_string(plan_.seed)});
    if (many_ranks)
      append(command, {"--distributed-world-size", std::to_string(plan_.gpus * ranks())});
    append(command, plan_.model_flags);
    append(command, plan_.train_flags);
    if (!course_.joins_domains) {
      append(command, {"--task", "language_modeling", "--criterion", "cross_entropy"});
      return command;
    }
    append(command,
           {"--task", "multidomain_language_modeling", "--criterion",
            "desynchronized_cross_entropy", "--train-domains", names_.called(course_.domains),
            "--eval-domains", names_.called(course_.domains)});
    if (!many_ranks) command.emplace_back("--unbalanced");
    return command;
  }

  /// The files that training reads, if no step makes them.
  std::vector<fs::path> inputs() const {
    std::vector<fs::path> files;
    if (plan_.data_bin.empty()) return files;
    files.push_back(plan_.data_bin / "dict.txt");
    for (const std::string& domain : course_.domains)
      for (const char* ending : {"train.bin", "train.idx"})
        files.push_back(plan_.data_bin / domain / ending);
    return files;
  }

  const StepNames& names_;
  const Plan& plan_;
  Course course_;
};

}  // namespace

Step seed_step(const StepNames& names) {
  const Plan& plan = names.plan();
  const std::vector<std::string>& domains = names.lineup().seed_domains;
  return TrainingStep(names, {.name = "seed",
                              .folder = "seed",
                              .domains = domains,
                              .updates = plan.seed_updates(),
                              .total = plan.updates,
                              .lr = plan.lr})
      .step({}, {}, names.preprocessed(domains));
}

Step expert_step(const StepNames& names, const std::string& domain) {
  const Plan& plan = names.plan();
  std::vector<std::string> after{"branch"};
  append(after, names.preprocessed({domain}));
  Step step = TrainingStep(names, {.name = "expert." + domain,
                                   .folder = names.folder_of("experts", domain).string(),
                                   .domains = {domain},
                                   .joins_domains = false,
                                   .updates = plan.updates,
                                   .total = plan.updates,
                                   .lr = plan.lr})
                  .step({}, {"--restore-file", "branch/checkpoint_last.pt", "--reset-dataloader"},
                        std::move(after));
  step.group = "experts";
  return step;
}

Step dense_step(const StepNames& names) {
  const Plan& plan = names.plan();
  Step step = TrainingStep(names, {.name = "dense",
                                   .folder = "dense",
                                   .domains = names.lineup().seed_domains,
                                   .updates = plan.updates,
                                   .total = plan.updates,
                                   .lr = plan.lr,
                                   .kept = std::max<std::int64_t>(1, plan.along_run)})
                  .step({}, {"--restore-file", "seed/checkpoint_last.pt"}, {"seed"});
  if (plan.along_run == 0) return step;
  // A part of the step, because no other step knows the names of the checkpoints it reads.
  const CommandLine average{"btm",
                            "average",
                            "--inputs",
                            "dense",
                            "--num-update-checkpoints",
                            std::to_string(plan.along_run),
                            "--output",
                            "dense/averaged.pt",
                            "--overwrite"};
  step.commands.push_back(average);
  step.resume_commands.push_back(average);
  step.outputs.emplace_back("dense/averaged.pt");
  return step;
}

Step mixture_step(const StepNames& names) {
  const Plan& plan = names.plan();
  const std::vector<std::string>& domains = names.lineup().trained;
  CommandLine more{"--moe-freq",         "1",
                   "--moe-expert-count", std::to_string(names.lineup().experts().size()),
                   "--moe-router",       plan.mix.moe_router,
                   "--moe-train",        plan.mix.train};
  append(more, plan.mix.train_flags);
  std::vector<std::string> after{"mix"};
  append(after, names.preprocessed(domains));
  return TrainingStep(names, {.name = "mixture",
                              .folder = "mixture",
                              .domains = domains,
                              .updates = plan.mix.updates,
                              .total = plan.mix.updates,
                              .lr = plan.mix.lr.value_or(plan.lr)})
      .step(more, {"--finetune-from-model", "mix/checkpoint_last.pt"}, std::move(after));
}

}  // namespace btm
