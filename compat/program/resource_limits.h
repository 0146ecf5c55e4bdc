// How many cores and how much memory this process may use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace compat {

/// The cores of the process's affinity (taskset, Slurm), at most the CPU quota of its control group
/// (a container's), a part of a core counted as one. At least 1.
int usable_cores();
/// The bytes of memory that the machine has, at most the limit of the process's control group; 0
/// when that is not known.
std::uint64_t usable_memory();

// `memberships` is the text of /proc/self/cgroup, `mounts` is /sys/fs/cgroup. The smallest limit of
// a group and those around it counts; nothing where none is set.

/// In cores. Version 2: cpu.max; version 1: cpu.cfs_quota_us and cpu.cfs_period_us.
std::optional<double> cpu_quota(std::string_view memberships, const std::filesystem::path& mounts);
/// In bytes. Version 2: memory.max; version 1: memory.limit_in_bytes.
std::optional<double> memory_limit(std::string_view memberships,
                                   const std::filesystem::path& mounts);

}  // namespace compat
