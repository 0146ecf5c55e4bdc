// The same steps as Slurm jobs: job arrays for steps that are alike, dependencies between them.
// Slurm schedules; this submits what is missing, shows the state, and goes on from the records that
// the steps leave.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "btm/run/executor.h"
#include "btm/run/plan.h"

namespace btm {

/// Steps that are submitted together: one job, or an array when there are several.
struct SlurmBatch {
  std::string name;
  std::vector<const Step*> steps;
  std::int64_t gpus = 0;
};

/// The steps that are not in `skip`, those of a group with the same predecessors together, in the
/// order of the graph.
std::vector<SlurmBatch> slurm_batches(const StepGraph& graph, const std::set<std::string>& skip);

/// sbatch's arguments for `batch`, whose predecessors have `jobs` (by step; a step that is done has
/// none).
CommandLine sbatch_command(const SlurmBatch& batch, const std::map<std::string, std::string>& jobs,
                           const Plan& plan, const std::string& script, const std::string& log);

/// The job's script: array task i runs step i.
std::string sbatch_script(const SlurmBatch& batch, const StepCommand& step_command);

/// squeue's lines "JOB|STATE|REASON" by job. Others are passed over.
std::map<std::string, std::string> parse_squeue(std::string_view text);

/// Submits what is not done and not in the queue, and waits. Jobs that vanish without a record (a
/// node that died) are submitted again, twice at most. SIGINT leaves the jobs alone: the same
/// command watches them again. IoError when sbatch or squeue cannot be run or refuse.
RunResult run_on_slurm(const KeyedGraph& keyed, RunState& state, const Plan& plan,
                       const StepCommand& step_command, const RunObserver& observer);

}  // namespace btm
