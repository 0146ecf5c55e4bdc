#include "btm/run/slurm_executor.h"

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"
#include "compat/program/process.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kAttempts = 3;
constexpr std::chrono::milliseconds kPoll{2000};

std::string output_of(const CommandLine& command, const std::string& action) {
  const compat::Captured captured = compat::capture({.argv = command});
  if (captured.status != 0)
    throw compat::IoError(command.front(), compat::concat(action, ": status ", captured.status,
                                                          " (its message is above)"));
  return captured.output;
}

/// Watches the jobs of a run.
class SlurmRun {
 public:
  SlurmRun(const KeyedGraph& keyed, RunState& state, const Plan& plan,
           const StepCommand& step_command, const RunObserver& observer)
      : keyed_(keyed),
        state_(state),
        plan_(plan),
        step_command_(step_command),
        observer_(observer),
        jobs_file_(state.output() / "steps" / "slurm.jobs") {
    read_jobs();
  }

  RunResult run() {
    const SignalQueueGuard guard(*this);
    for (int attempt = 0; attempt < kAttempts && !result_.interrupted; ++attempt) {
      result_.done = keyed_.done(state_);
      if (result_.done.size() == keyed_.keys.size()) break;
      if (!submit() && attempt > 0) break;
      watch();
    }
    collect_failures();
    return std::move(result_);
  }

 private:
  /// Signals wait while jobs are watched.
  struct SignalQueueGuard {
    explicit SignalQueueGuard(SlurmRun& run) : run_(run) { run.signals_ = &queue; }
    ~SignalQueueGuard() { run_.signals_ = nullptr; }
    compat::SignalQueue queue;
    SlurmRun& run_;
  };

  struct Job {
    std::string id, key;
  };

  const std::string& key_of(const std::string& step) const {
    return keyed_
        .keys[static_cast<std::size_t>(&keyed_.graph.at(step) - keyed_.graph.steps().data())];
  }

  void read_jobs();
  void write_jobs() const;
  std::map<std::string, std::string> queue() const {
    return parse_squeue(
        output_of({"squeue", "--me", "-h", "-r", "-o", "%i|%T|%R"}, "ask for the queue"));
  }
  bool submit();
  void submit_batch(const SlurmBatch& batch);
  void watch();
  void show(const std::map<std::string, std::string>& now);
  void collect_failures();

  const KeyedGraph& keyed_;
  RunState& state_;
  const Plan& plan_;
  const StepCommand& step_command_;
  const RunObserver& observer_;
  fs::path jobs_file_;
  std::map<std::string, Job> jobs_;           ///< By step.
  std::map<std::string, std::string> shown_;  ///< The state last shown, by step.
  RunResult result_;
  compat::SignalQueue* signals_ = nullptr;
};

void SlurmRun::read_jobs() {
  std::error_code missing;
  if (!fs::is_regular_file(jobs_file_, missing)) return;
  const json record =
      compat::parse_json(compat::as_chars(compat::MappedFile::open(jobs_file_)->bytes()));
  if (!record.is_object())
    return;  // without it, running jobs are submitted again and wait for the step's lock
  for (const auto& [step, job] : record.items())
    if (job.is_array() && job.size() == 2 && job[0].is_string() && job[1].is_string())
      jobs_[step] = {job[0], job[1]};
}

void SlurmRun::write_jobs() const {
  json record = json::object();
  for (const auto& [step, job] : jobs_) record[step] = {job.id, job.key};
  compat::write_file_atomically(jobs_file_, record.dump(1) + "\n");
}

/// Whether anything was submitted.
bool SlurmRun::submit() {
  const auto now = queue();
  std::set<std::string> skip = result_.done;
  for (const Step& step : keyed_.graph.steps()) {
    const auto job = jobs_.find(step.name);
    if (job == jobs_.end()) continue;
    if (now.contains(job->second.id) && job->second.key == key_of(step.name))
      skip.insert(step.name);
    else if (!now.contains(job->second.id))
      jobs_.erase(job);
  }
  // A step that failed within this call would fail again, and later steps cannot run.
  std::set<std::string> blocked(result_.failed.begin(), result_.failed.end());
  for (const Step& step : keyed_.graph.steps())
    if (std::ranges::any_of(step.after,
                            [&](const std::string& name) { return blocked.contains(name); }))
      blocked.insert(step.name);
  skip.insert(blocked.begin(), blocked.end());
  const std::vector<SlurmBatch> batches = slurm_batches(keyed_.graph, skip);
  for (const SlurmBatch& batch : batches) submit_batch(batch);
  write_jobs();
  return !batches.empty();
}

void SlurmRun::submit_batch(const SlurmBatch& batch) {
  for (const Step* const step : batch.steps) state_.forget_failure(step->name);
  const fs::path script = state_.output() / "steps" / (batch.name + ".sbatch");
  compat::write_file_atomically(script, sbatch_script(batch, step_command_));
  std::map<std::string, std::string> ids;
  for (const auto& [step, job] : jobs_)
    if (!result_.done.contains(step)) ids[step] = job.id;
  std::string id =
      output_of(sbatch_command(batch, ids, plan_, script.string(),
                               (state_.output() / "logs" / "slurm-%x-%j.log").string()),
                "submit " + batch.name);
  id = id.substr(0, id.find_first_of(";\n"));  // "JOB" or "JOB;CLUSTER"
  for (std::size_t i = 0; i < batch.steps.size(); ++i) {
    const std::string& name = batch.steps[i]->name;
    jobs_[name] = {batch.steps.size() > 1 ? compat::concat(id, '_', i) : id, key_of(name)};
    observer_.line("job " + jobs_[name].id + ": " + name);
  }
}

void SlurmRun::show(const std::map<std::string, std::string>& now) {
  std::vector<std::string> running;
  for (const Step& step : keyed_.graph.steps()) {
    const auto job = jobs_.find(step.name);
    if (job == jobs_.end()) continue;
    const auto place = now.find(job->second.id);
    if (place == now.end()) {
      if (result_.done.contains(step.name) || !state_.is_done(step, key_of(step.name))) continue;
      result_.done.insert(step.name);
      observer_.line(done_line(step.name, state_));
      continue;
    }
    const std::string word = place->second.substr(0, place->second.find('|'));
    if (word == "RUNNING") running.push_back(step.name);
    if (shown_[step.name] != word)
      observer_.line(step.name + " (job " + job->second.id + "): " + place->second);
    shown_[step.name] = word;
  }
  observer_.progress(result_.done, running);
}

void SlurmRun::watch() {
  for (;;) {
    const auto now = queue();
    show(now);
    std::string waiting;
    for (const auto& [step, job] : jobs_)
      if (now.contains(job.id)) waiting += " " + job.id;
    if (waiting.empty()) break;
    const auto signal = signals_->wait(kPoll);
    if (signal && *signal != SIGCHLD) {
      observer_.line(
          "the jobs continue; the same command watches them again, and this cancels them: scancel" +
          waiting);
      result_.interrupted = true;
      return;
    }
  }
  collect_failures();
}

void SlurmRun::collect_failures() {
  result_.failed.clear();
  for (const Step& step : keyed_.graph.steps())
    if (!result_.done.contains(step.name) && state_.failure_of(step.name))
      result_.failed.push_back(step.name);
}

}  // namespace

std::vector<SlurmBatch> slurm_batches(const StepGraph& graph, const std::set<std::string>& skip) {
  std::vector<SlurmBatch> batches;
  for (const Step& step : graph.steps()) {
    if (skip.contains(step.name)) continue;
    const auto same = std::ranges::find_if(batches, [&](const SlurmBatch& batch) {
      return !step.group.empty() && batch.steps.front()->group == step.group &&
             batch.gpus == step.gpus;
    });
    if (same != batches.end())
      same->steps.push_back(&step);
    else
      batches.push_back({step.group.empty() ? step.name : step.group, {&step}, step.gpus});
  }
  return batches;
}

CommandLine sbatch_command(const SlurmBatch& batch, const std::map<std::string, std::string>& jobs,
                           const Plan& plan, const std::string& script, const std::string& log) {
  CommandLine command{"sbatch",
                      "--parsable",
                      "--requeue",
                      "--open-mode=append",
                      "--kill-on-invalid-dep=yes",
                      "--job-name=btm-" + batch.name,
                      "--output=" + log};
  if (batch.steps.size() > 1)
    command.push_back(compat::concat("--array=0-", batch.steps.size() - 1));
  if (batch.gpus > 0) command.push_back(compat::concat("--gres=gpu:", batch.gpus));
  std::vector<std::string> after;
  for (const Step* step : batch.steps)
    for (const std::string& name : step->after)
      if (std::ranges::find(after, name) == after.end()) after.push_back(name);
  std::string dependency;
  for (const std::string& name : after)
    if (const auto job = jobs.find(name); job != jobs.end()) dependency += ":" + job->second;
  if (!dependency.empty()) command.push_back("--dependency=afterok" + dependency);
  command.insert(command.end(), plan.slurm_flags.begin(), plan.slurm_flags.end());
  command.push_back(script);
  return command;
}

std::string sbatch_script(const SlurmBatch& batch, const StepCommand& step_command) {
  std::string script = "#!/bin/sh\n# Written by btm run.\ncase ${SLURM_ARRAY_TASK_ID:-0} in\n";
  for (std::size_t i = 0; i < batch.steps.size(); ++i)
    script += compat::concat(i, ") exec ", shell_text(step_command(batch.steps[i]->name)), " ;;\n");
  return script + "esac\n";
}

std::map<std::string, std::string> parse_squeue(std::string_view text) {
  std::map<std::string, std::string> jobs;
  compat::for_each_line(text, [&](std::string_view line) {
    const std::size_t bar = line.find('|');
    if (bar != std::string_view::npos && bar > 0)
      jobs.emplace(line.substr(0, bar), compat::printable(line.substr(bar + 1), 200));
  });
  return jobs;
}

RunResult run_on_slurm(const KeyedGraph& keyed, RunState& state, const Plan& plan,
                       const StepCommand& step_command, const RunObserver& observer) {
  return SlurmRun(keyed, state, plan, step_command, observer).run();
}

}  // namespace btm
