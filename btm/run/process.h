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

/// While one is alive, SIGINT, SIGTERM and SIGCHLD wait in a queue instead of interrupting this
/// process. One thread only.
class SignalQueue {
 public:
  SignalQueue();
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  /// The next signal, or nothing when none came within `timeout`.
  std::optional<int> wait(std::chrono::milliseconds timeout);

 private:
  sigset_t signals_, before_;
};

/// A process in a group of its own (the terminal's Ctrl-C does not reach it), which gets SIGTERM
/// when this one dies.
class Child {
 public:
  /// Starts `argv` in `folder` with stdin from /dev/null; stdout and stderr go to `output` (a
  /// descriptor), or stay where they are when it is -1. IoError when the program cannot be run.
  Child(const std::vector<std::string>& argv, const std::filesystem::path& folder, int output = -1);

  /// The exit status (128 + signal for a killed one) once it has ended.
  std::optional<int> poll();
  /// Waits for the end; SIGINT and SIGTERM from `signals` are passed on as SIGTERM, and after the
  /// third as SIGKILL.
  int wait(SignalQueue& signals, bool& interrupted);
  void send(int signal) const;
  pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
};

/// What the child printed to stdout, and its exit status. stderr stays where it is.
struct Captured {
  std::string output;
  int status = 0;
};
Captured capture(const std::vector<std::string>& argv);

/// Where this program lies; its sister programs are beside it.
std::filesystem::path own_program();

}  // namespace btm
