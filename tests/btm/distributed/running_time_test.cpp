#include "btm/distributed/running_time.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace btm {
namespace {

using std::chrono::milliseconds;

/// In a process of its own, which first stops if `stops`: waits until the clock has run for two
/// seconds, and ends with the tenths of seconds that passed meanwhile.
pid_t start_waiting(bool stops) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  const auto start = std::chrono::steady_clock::now();
  {
    const RunningTime time;
    if (stops) ::raise(SIGSTOP);
    while (time.now() < milliseconds(2000)) std::this_thread::sleep_for(milliseconds(20));
  }
  const auto passed = std::chrono::steady_clock::now() - start;
  ::_exit(static_cast<int>(std::min<long>(passed / milliseconds(100), 255)));
}

int tenths_of(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST(RunningTime, RunsWhileTheProcessRuns) {
  const int tenths = tenths_of(start_waiting(false));
  EXPECT_GE(tenths, 19);
}

TEST(RunningTime, StandsStillWhileTheProcessIsStopped) {
  const pid_t child = start_waiting(true);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  std::this_thread::sleep_for(milliseconds(4000));
  ::kill(child, SIGCONT);
  EXPECT_GE(tenths_of(child), 48);  // of the stop at most one second counts
}

}  // namespace
}  // namespace btm
