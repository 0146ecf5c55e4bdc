// Where the processes of a run meet, from fairseq's flags, torchrun's variables or Slurm's. No
// torch here.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "compat/base/error.h"

namespace btm {

/// fairseq's flags of distributed training.
struct DistributedOptions {
  std::int64_t world_size = 0;  ///< --distributed-world-size; 0: not given
  std::int64_t rank = -1;       ///< --distributed-rank; -1: not given
  std::int64_t port = -1;       ///< --distributed-port; -1: any free one
  std::int64_t device_id = -1;  ///< --device-id, --local_rank; -1: not given
  std::int64_t nprocs_per_node =
      0;  ///< --nprocs-per-node; 0: one process, unless all ranks are on this machine
  bool no_spawn = false;    ///< --distributed-no-spawn
  std::string init_method;  ///< --distributed-init-method tcp://HOST:PORT or env://
  bool cpu = false;         ///< --cpu
};

/// This process's place among the processes of the run.
struct Rendezvous {
  int rank = 0, size = 1;  ///< Among all; `rank` is the first of `spawn` ranks where that is not 0.
  int local_rank = 0;      ///< Among those of this machine.
  std::string host;  ///< Where the store of rank 0 listens; may be empty for a single process.
  int port = 0;      ///< 0: this process chooses (only where it starts all ranks).
  int spawn = 0;     ///< The number of ranks that this process starts; 0: it is a rank itself.
  bool agent_store = false;  ///< The store is torchrun's, not rank 0's.
  std::string store_prefix;  ///< Separates this attempt's keys from those of earlier attempts.
  std::string token;         ///< Known only to the ranks of one run; may be empty.
};

/// A rank beyond the number of ranks. The others, which meet at `place`, must learn of it.
class MisplacedRank : public compat::UsageError {
 public:
  MisplacedRank(const std::string& problem, Rendezvous place)
      : UsageError(problem), place_(std::move(place)) {}
  const Rendezvous& place() const noexcept { return place_; }

 private:
  Rendezvous place_;
};

/// A variable of the environment, or nothing.
using Environment = std::function<std::optional<std::string>(const char* name)>;
std::optional<std::string> process_environment(const char* name);

/// Set, beside torchrun's variables, in the environment of ranks that btm's launcher started (see
/// launcher.h).
inline constexpr const char* kLaunched = "BTM_LAUNCHED";

/// The run's token in the environment. btm's launcher sets it, and a user who starts the ranks may.
/// Without it, torchrun's run id or Slurm's job and step serve.
inline constexpr const char* kRunToken = "BTM_RUN_TOKEN";

/// The place of this process. It comes from the first of these that is there: btm's launcher;
/// --distributed-init-method; torchrun's MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE (and
/// LOCAL_RANK); a Slurm step of several tasks (SLURM_PROCID, SLURM_NTASKS, SLURM_STEP_NODELIST,
/// SLURM_LOCALID; a world size of K times the tasks starts K ranks in each);
/// --distributed-world-size ranks on this machine. UsageError for flags and variables that
/// contradict each other. MisplacedRank for a rank beyond the number of ranks.
Rendezvous find_rendezvous(const DistributedOptions& options,
                           const Environment& environment = process_environment);

/// The first host of a list as Slurm writes it ("node[003-007,9],other"): "node003". UsageError for
/// another grammar.
std::string first_host(std::string_view nodelist);

}  // namespace btm
