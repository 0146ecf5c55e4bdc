#include "btm/distributed/rendezvous.h"

#include <algorithm>
#include <cstdlib>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

constexpr std::string_view kThisMachine = "127.0.0.1";
constexpr std::int64_t kMostRanks = 1 << 20;

std::string in_quotes(std::string_view text) { return "'" + compat::printable(text) + "'"; }

/// The variable's number, which must be there.
int number_of(const Environment& environment, const char* name, std::int64_t lowest,
              std::int64_t highest) {
  const std::optional<std::string> text = environment(name);
  if (!text) throw compat::UsageError(std::string(name) + " is not in the environment");
  const std::optional<std::int64_t> number = compat::number_of<std::int64_t>(*text);
  if (!number || *number < lowest || *number > highest)
    throw compat::UsageError(compat::concat(
        name, '=', in_quotes(*text), " in the environment, expected ", lowest, " to ", highest));
  return static_cast<int>(*number);
}

Rendezvous from_torchrun(const DistributedOptions& options, const Environment& environment) {
  Rendezvous place;
  place.token = environment(kRunToken).value_or("");
  place.size = number_of(environment, "WORLD_SIZE", 1, kMostRanks);
  place.rank = number_of(environment, "RANK", 0, kMostRanks);
  if (environment("LOCAL_RANK"))
    place.local_rank = number_of(environment, "LOCAL_RANK", 0, place.rank);
  if (options.device_id >= 0) place.local_rank = static_cast<int>(options.device_id);
  const bool alone = place.size == 1 && place.rank == 0;
  const std::optional<std::string> host = environment("MASTER_ADDR");
  if (alone && (!host || host->empty() || !environment("MASTER_PORT"))) return place;
  if (!host || host->empty()) throw compat::UsageError("MASTER_ADDR is not in the environment");
  place.host = *host;
  place.port = number_of(environment, "MASTER_PORT", 1, 65535);
  place.agent_store = environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  if (place.agent_store)
    place.store_prefix = "attempt" + environment("TORCHELASTIC_RESTART_COUNT").value_or("0");
  if (place.token.empty()) place.token = environment("TORCHELASTIC_RUN_ID").value_or("");
  if (place.rank >= place.size)
    throw MisplacedRank(compat::concat("RANK='", place.rank, "' in the environment, expected 0 to ",
                                       place.size - 1, " (WORLD_SIZE is ", place.size, ')'),
                        place);
  return place;
}

Rendezvous from_address(const DistributedOptions& options, const Environment& environment) {
  std::string_view address = options.init_method;
  address.remove_prefix(std::string_view("tcp://").size());
  const std::size_t colon = address.rfind(':');
  const std::optional<std::int64_t> port = compat::number_of<std::int64_t>(
      colon == std::string_view::npos ? "" : address.substr(colon + 1));
  if (colon == 0 || !port || *port < 1 || *port > 65535)
    throw compat::UsageError("--distributed-init-method " + in_quotes(options.init_method) +
                             ", expected tcp://HOST:PORT");
  std::string_view host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  if (options.world_size < 1)
    throw compat::UsageError("--distributed-init-method needs --distributed-world-size");
  if (options.rank < 0 && options.world_size > 1)
    throw compat::UsageError("--distributed-init-method needs --distributed-rank");
  Rendezvous place;
  place.token = environment(kRunToken).value_or("");
  place.size = static_cast<int>(options.world_size);
  place.rank = static_cast<int>(std::max<std::int64_t>(options.rank, 0));
  place.host = host;
  place.port = static_cast<int>(*port);
  if (options.rank >= options.world_size)
    throw MisplacedRank(
        compat::concat("--distributed-rank ", options.rank,
                       ", expected less than --distributed-world-size ", options.world_size),
        place);
  if (options.nprocs_per_node > 1 && !options.no_spawn)
    place.spawn =
        static_cast<int>(std::min<std::int64_t>(options.nprocs_per_node, place.size - place.rank));
  if (options.device_id >= 0) place.local_rank = static_cast<int>(options.device_id);
  return place;
}

/// Nothing where this is no Slurm step of several tasks.
std::optional<Rendezvous> from_slurm(const DistributedOptions& options,
                                     const Environment& environment) {
  std::optional<std::string> nodes = environment("SLURM_STEP_NODELIST");
  // A batch script outside srun also sees SLURM_NTASKS, but is one process.
  if (!nodes && !environment("SLURM_STEP_ID")) return std::nullopt;
  const char* const tasks_variable =
      environment("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  if (!environment(tasks_variable)) return std::nullopt;
  const int tasks = number_of(environment, tasks_variable, 1, kMostRanks);
  if (tasks == 1) return std::nullopt;
  for (const char* name : {"SLURM_JOB_NODELIST", "SLURM_NODELIST"})
    if (!nodes) nodes = environment(name);
  if (!nodes) throw compat::UsageError("SLURM_STEP_NODELIST is not in the environment");
  if (options.world_size > 0 && options.world_size % tasks != 0)
    throw compat::UsageError(compat::concat("--distributed-world-size ", options.world_size,
                                            " in a Slurm step of ", tasks,
                                            " tasks, expected a multiple of them"));

  const int per_task = options.world_size > 0 ? static_cast<int>(options.world_size / tasks) : 1;
  const int task = number_of(environment, "SLURM_PROCID", 0, tasks - 1);
  Rendezvous place;
  place.size = tasks * per_task;
  place.rank = task * per_task;
  place.spawn = per_task > 1 ? per_task : 0;
  place.token = environment(kRunToken).value_or(environment("SLURM_JOB_ID").value_or("") + "." +
                                                environment("SLURM_STEP_ID").value_or(""));
  if (environment("SLURM_LOCALID"))
    place.local_rank = number_of(environment, "SLURM_LOCALID", 0, tasks - 1);
  if (options.device_id >= 0) place.local_rank = static_cast<int>(options.device_id);
  place.host = first_host(*nodes);
  place.port = static_cast<int>(options.port);
  if (options.port <=
      0) {  // all tasks must choose the same one, and two steps of a node different ones
    const auto id = [&](const char* name) {
      return compat::number_of<std::int64_t>(environment(name).value_or("0")).value_or(0);
    };
    place.port = static_cast<int>(20000 + (id("SLURM_JOB_ID") * 7 + id("SLURM_STEP_ID")) % 12000);
  }
  return place;
}

Rendezvous on_this_machine(const DistributedOptions& options) {
  Rendezvous place;
  if (options.rank > 0)
    throw compat::UsageError("--distributed-rank needs --distributed-init-method tcp://HOST:PORT");
  if (options.device_id >= 0) place.local_rank = static_cast<int>(options.device_id);
  if (options.world_size <= 1) return place;
  const std::string size = compat::concat("--distributed-world-size ", options.world_size);
  if (options.no_spawn)
    throw compat::UsageError(size +
                             " with --distributed-no-spawn needs --distributed-init-method, "
                             "torchrun's or Slurm's variables");
  if (options.nprocs_per_node > 0 && options.nprocs_per_node < options.world_size)
    throw compat::UsageError(
        compat::concat(size, " with --nprocs-per-node ", options.nprocs_per_node,
                       " needs --distributed-init-method, torchrun's or Slurm's variables, "
                       "to find the other machines"));
  place.size = place.spawn = static_cast<int>(options.world_size);
  place.host = kThisMachine;
  place.port = static_cast<int>(std::max<std::int64_t>(options.port, 0));
  return place;
}

}  // namespace

std::optional<std::string> process_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Rendezvous find_rendezvous(const DistributedOptions& options, const Environment& environment) {
  if (options.world_size > kMostRanks || options.port > 65535)
    throw compat::UsageError(
        options.port > 65535
            ? compat::concat("--distributed-port ", options.port, ", expected at most 65535")
            : compat::concat("--distributed-world-size ", options.world_size, " is too large"));
  if (environment(kLaunched))
    return from_torchrun(options, environment);  // the flags are those of the starting process
  if (options.init_method.starts_with("tcp://")) return from_address(options, environment);
  if (options.init_method == "env://") return from_torchrun(options, environment);
  if (!options.init_method.empty())
    throw compat::UsageError("--distributed-init-method " + in_quotes(options.init_method) +
                             ", expected tcp://HOST:PORT or env://");
  if (environment("MASTER_ADDR") && environment("MASTER_PORT") && environment("WORLD_SIZE") &&
      environment("RANK"))
    return from_torchrun(options, environment);
  if (std::optional<Rendezvous> slurm = from_slurm(options, environment)) return *slurm;
  return on_this_machine(options);
}

std::string first_host(std::string_view nodelist) {
  const auto fail = [&]() -> std::string {
    throw compat::UsageError("the list of Slurm nodes " + in_quotes(nodelist) + " cannot be read");
  };
  std::string host;
  for (std::size_t i = 0; i < nodelist.size() && nodelist[i] != ','; ++i) {
    if (nodelist[i] != '[') {
      host += nodelist[i];
      continue;
    }
    const std::size_t close = nodelist.find(']', i);
    if (close == std::string_view::npos) return fail();
    const std::string_view ranges = nodelist.substr(i + 1, close - i - 1);
    const std::string_view first = ranges.substr(0, ranges.find_first_of(",-"));
    if (first.empty()) return fail();
    host += first;
    i = close;
  }
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == '_';
  });
  return host.empty() || !plain ? fail() : host;
}

}  // namespace btm
