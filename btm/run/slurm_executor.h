// Runs the steps as Slurm jobs, with job arrays for similar steps and dependencies between jobs.
// Slurm schedules. This submits missing steps, shows the state, and reads the records that steps
// leave.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "btm/run/executor.h"
#include "btm/run/plan.h"

namespace btm {

/// Steps that are submitted together: one job, or an array of several.
struct SlurmBatch {
  std::string name;
  std::vector<const Step*> steps;
  std::int64_t gpus = 0;
};

/// The steps that are not in `skip`, in the order of the graph. Steps of a group are together: the
/// batch waits for the predecessors of all of them.
std::vector<SlurmBatch> slurm_batches(const StepGraph& graph, const std::set<std::string>& skip);

/// sbatch's arguments for `batch`. `jobs` has the job ids of its predecessors by step; a step that
/// is done has none.
CommandLine sbatch_command(const SlurmBatch& batch, const std::map<std::string, std::string>& jobs,
                           const Plan& plan, const std::string& script, const std::string& log);

/// The job's script: array task i runs step i.
std::string sbatch_script(const SlurmBatch& batch, const StepCommand& step_command);

/// squeue's lines "JOB|STATE|REASON" by job. Skips other lines.
std::map<std::string, std::string> parse_squeue(std::string_view text);

/// Submits the steps that are neither done nor in the queue, and waits. Submits jobs that vanish
/// without a record (of a node that died) again, at most twice. SIGINT does not end the jobs; the
/// same command watches them again. IoError when sbatch or squeue cannot be run or fail.
RunResult run_on_slurm(const KeyedGraph& keyed, RunState& state, const Plan& plan,
                       const StepCommand& step_command, const RunObserver& observer);

}  // namespace btm
