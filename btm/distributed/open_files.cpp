#include "btm/distributed/open_files.h"

#include <sys/resource.h>

#include <algorithm>
#include <string>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

// Two connections to the store, and one in each of DeMIX's three groups. With too few gloo aborts.
constexpr std::int64_t kOwnFiles = 40, kFilesOfARank = 5;
constexpr rlim_t kEnough = 65536;

}  // namespace

std::int64_t open_files_of(int ranks) noexcept { return kOwnFiles + kFilesOfARank * ranks; }

void allow_open_files(int ranks) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_cur < limit.rlim_max && limit.rlim_cur < kEnough) {
    limit.rlim_cur = std::min(limit.rlim_max, kEnough);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  const auto needed = static_cast<rlim_t>(open_files_of(ranks));
  if (limit.rlim_cur < needed)
    throw compat::IoError("ulimit -n", compat::concat("allows ", limit.rlim_cur, " open files, ",
                                                      ranks, " ranks need at least ", needed));
}

}  // namespace btm
