// What the programs do about signals: end without leaving temporaries, save and end, or pass them
// on to processes that they have started.
#pragma once

#include <chrono>
#include <csignal>
#include <initializer_list>
#include <optional>
#include <string>

namespace compat {

/// From now on SIGINT, SIGTERM and SIGHUP remove what TemporaryNotes name and end the process as
/// they would have; one that is ignored (nohup) stays so. A SignalsWait delays them.
void remove_temporaries_on_signals();

/// SIGTERM, SIGINT and SIGUSR1 (Slurm's warning) as a request to save and end, while it lives. A
/// second SIGINT does what SIGINT did before. One at a time.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
};

/// The first signal that arrived under the last SignalGuard, or 0.
int received_signal() noexcept;

/// "SIGTERM".
std::string signal_name(int signal);

/// While one is alive, these signals wait in a queue instead of interrupting this process. One
/// thread only.
class SignalQueue {
 public:
  explicit SignalQueue(std::initializer_list<int> signals = {SIGINT, SIGTERM, SIGCHLD});
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  /// The next signal, or nothing when none came within `timeout`.
  std::optional<int> wait(std::chrono::milliseconds timeout);
  /// Readable, for poll, when a signal waits.
  int descriptor() const noexcept { return descriptor_; }

 private:
  sigset_t before_{};
  int descriptor_ = -1;
};

}  // namespace compat
