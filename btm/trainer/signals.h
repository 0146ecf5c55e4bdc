// SIGTERM, SIGINT and SIGUSR1 (Slurm's warning) ask a training to save and end.
#pragma once

#include <string>

namespace btm {

/// Catches the three signals while it exists. A second SIGINT ends the process at once.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
};

/// The first signal that arrived, or 0.
int received_signal() noexcept;

/// "SIGTERM".
std::string signal_name(int signal);

}  // namespace btm
