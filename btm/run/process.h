// Child processes and the signals of this one.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace btm {

/// While one exists, SIGINT, SIGTERM and SIGCHLD wait in a queue and do not interrupt this process.
/// For one thread only.
class SignalQueue {
 public:
  SignalQueue();
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  /// The next signal, or nothing when none comes within `timeout`.
  std::optional<int> wait(std::chrono::milliseconds timeout);

 private:
  sigset_t signals_, before_;
};

/// A process in a group of its own, which the terminal's Ctrl-C does not reach. It gets SIGTERM
/// when this process dies.
class Child {
 public:
  /// Starts `argv` in `folder` with stdin from /dev/null; stdout and stderr go to `output` (a
  /// descriptor), or stay unchanged when it is -1. IoError when the program cannot be run.
  Child(const std::vector<std::string>& argv, const std::filesystem::path& folder, int output = -1);

  /// The exit status once it has ended: 128 + signal for a killed process.
  std::optional<int> poll();
  /// Waits for the end. Passes SIGINT and SIGTERM from `signals` on as SIGTERM, from the third on
  /// as SIGKILL.
  int wait(SignalQueue& signals, bool& interrupted);
  void send(int signal) const;
  pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
};

/// What the child printed to stdout, and its exit status. stderr is unchanged.
struct Captured {
  std::string output;
  int status = 0;
};
Captured capture(const std::vector<std::string>& argv);

/// The path of this program. The other programs lie beside it.
std::filesystem::path own_program();

}  // namespace btm
