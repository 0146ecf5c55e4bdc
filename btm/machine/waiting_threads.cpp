#include "btm/machine/waiting_threads.h"

#include <ATen/Parallel.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>

#include "compat/program/resource_limits.h"

namespace btm {
namespace {

/// Turns of the loop in which a thread waits before it sleeps; the runtime's own are 300,000, some
/// milliseconds. Beside another busy process that is time in which the thread that is waited for
/// does not run. The README of this folder has the measurement.
constexpr char kSpinCount[] = "GOMP_SPINCOUNT=5000";
constexpr std::size_t kMostVariables = 4096;

// These run before the sanitizers' and the C library's own start. They therefore call nothing.

__attribute__((no_sanitize("address", "undefined"))) bool begins_with(const char* text,
                                                                      const char* name) {
  for (; *name != 0; ++text, ++name)
    if (*text != *name) return false;
  return true;
}

/// Of .preinit_array: what is here runs before the constructors of all libraries. Starting anew
/// costs 10 ms then (measured on 29 November 2026, 2 cores), since nothing is initialised.
__attribute__((no_sanitize("address", "undefined"))) void start_with_short_waits(
    int, char** argv, char** environment) {
  static std::array<char*, kMostVariables> variables;
  std::size_t count = 0;
  for (; environment[count] != nullptr; ++count) {
    if (count + 2 >= kMostVariables || begins_with(environment[count], "GOMP_SPINCOUNT=") ||
        begins_with(environment[count], "OMP_WAIT_POLICY="))
      return;
    variables[count] = environment[count];
  }
  static char added[sizeof kSpinCount];
  for (std::size_t i = 0; i < sizeof kSpinCount; ++i) added[i] = kSpinCount[i];
  variables[count] = added;
  // The name by which it was started, so that ps shows the same. A failure leaves long waits.
  if (const auto name = ::getauxval(AT_EXECFN); name != 0)
    ::execve(reinterpret_cast<const char*>(name), argv, variables.data());
}

__attribute__((section(".preinit_array"),
               used)) void (*const kAtStart)(int, char**, char**) = start_with_short_waits;

}  // namespace

bool waiting_threads_give_way() {
  const char* const policy = std::getenv("OMP_WAIT_POLICY");
  if (policy != nullptr) return begins_with(policy, "passive") || begins_with(policy, "PASSIVE");
  return std::getenv("GOMP_SPINCOUNT") != nullptr;
}

void keep_to_usable_cores() {
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return;
  if (const int cores = compat::usable_cores(); cores < at::get_num_threads())
    at::set_num_threads(cores);
}

}  // namespace btm
