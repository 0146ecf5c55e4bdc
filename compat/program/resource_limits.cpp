#include "compat/program/resource_limits.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "compat/base/numbers.h"
#include "compat/base/text.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// A number above 0; nothing for "max", -1 and what is no number.
std::optional<double> positive(std::string_view text) {
  const auto number = number_of<std::int64_t>(strip(text));
  return number && *number > 0 ? std::optional(static_cast<double>(*number)) : std::nullopt;
}

std::optional<double> quota_in(const fs::path& group) {
  const std::string maximum = text_of(group / "cpu.max");
  std::string quota = text_of(group / "cpu.cfs_quota_us");
  std::string period = text_of(group / "cpu.cfs_period_us");
  if (const auto words = split_whitespace(maximum); words.size() == 2) {
    quota = words[0];
    period = words[1];
  }
  const std::optional<double> used = positive(quota), of = positive(period);
  return used && of ? std::optional(*used / *of) : std::nullopt;
}

std::optional<double> memory_in(const fs::path& group) {
  const std::optional<double> limit = positive(text_of(group / "memory.max"));
  return limit ? limit : positive(text_of(group / "memory.limit_in_bytes"));
}

/// The smallest limit that `limit_in` finds in the groups that `memberships` names and around them.
/// A line is "ID:CONTROLLERS:PATH"; version 2 has no controllers.
template <class LimitIn>
std::optional<double> smallest_limit(std::string_view memberships, const fs::path& mounts,
                                     const std::string& controller, LimitIn&& limit_in) {
  std::optional<double> least;
  for (const std::string& line : split_at(memberships, '\n')) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::vector<std::string> names = split_at(controllers, ',');
    if (!controllers.empty() && std::ranges::find(names, controller) == names.end()) continue;
    for (const fs::path& mount : {mounts / (controllers.empty() ? "." : controllers),
                                  mounts / (controllers.empty() ? "unified" : controller)}) {
      // In a container the path may be the host's: the group then stands at the mount itself.
      fs::path group = fs::path(line.substr(second + 1)).relative_path().lexically_normal();
      for (int depth = 0; depth < 64; ++depth, group = group.parent_path()) {
        const std::optional<double> limit = limit_in(mount / group);
        if (limit && (!least || *limit < *least)) least = limit;
        if (group.empty() || group == ".") break;
      }
    }
  }
  return least;
}

}  // namespace

std::optional<double> cpu_quota(std::string_view memberships, const fs::path& mounts) {
  return smallest_limit(memberships, mounts, "cpu", quota_in);
}

std::optional<double> memory_limit(std::string_view memberships, const fs::path& mounts) {
  return smallest_limit(memberships, mounts, "memory", memory_in);
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  if (::sched_getaffinity(0, sizeof set, &set) == 0) cores = std::max(1, CPU_COUNT(&set));
  const std::optional<double> quota = cpu_quota(text_of("/proc/self/cgroup"), "/sys/fs/cgroup");
  return quota && *quota < cores ? static_cast<int>(std::max(1.0, std::ceil(*quota))) : cores;
}

std::uint64_t usable_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  const double all =
      pages > 0 && size > 0 ? static_cast<double>(pages) * static_cast<double>(size) : 0;
  const auto limit = memory_limit(text_of("/proc/self/cgroup"), "/sys/fs/cgroup");
  return static_cast<std::uint64_t>(limit && (all == 0 || *limit < all) ? *limit : all);
}

}  // namespace compat
