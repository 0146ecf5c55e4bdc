// The one way of starting another program.
#pragma once

#include <sys/types.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compat/program/signals.h"

namespace compat {

/// What a Child is and has. Descriptors stay the caller's; -1 means this process's own.
struct ChildSetup {
  std::vector<std::string> argv;
  std::filesystem::path program = {};  ///< What is run; empty: argv[0], looked up in PATH.
  std::filesystem::path folder = {};   ///< Where; empty: here.
  std::vector<std::string> environment =
      {};                        ///< "NAME=VALUE", in place of or beside this process's.
  int output = -1, errors = -1;  ///< Standard output and standard error.
  int kept = -1;                 ///< A descriptor that stays open in the program.
  int when_orphaned = SIGTERM;   ///< What it gets when this process dies.
};

/// A process in a group of its own (the terminal's Ctrl-C does not reach it) that reads nothing.
/// This process's end brings it a signal. Start it on a thread that lives as long as the process.
class Child {
 public:
  /// IoError when the program cannot be run.
  explicit Child(const ChildSetup& setup);

  /// The exit status (128 + signal for a killed one) once it has ended.
  std::optional<int> poll();
  /// Waits for the end.
  int wait();
  /// Waits for the end; SIGINT and SIGTERM from `signals` are passed on as SIGTERM, and after the
  /// third as SIGKILL.
  int wait(SignalQueue& signals, bool& interrupted);
  /// The signal that killed it; 0 when it lives or ended by itself.
  int killed_by() const noexcept { return killed_by_; }
  void send(int signal) const;
  pid_t pid() const noexcept { return pid_; }

 private:
  std::optional<int> reap(int options);

  pid_t pid_ = -1;
  std::optional<int> status_;
  int killed_by_ = 0;
};

/// A descriptor that is closed at the end of its scope; -1 is none.
struct Descriptor {
  explicit Descriptor(int number) noexcept : fd(number) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd;
};

/// A pipe whose ends the programs that are started do not inherit.
class Pipe {
 public:
  Pipe();
  ~Pipe();
  Pipe(Pipe&& other) noexcept : ends_(other.ends_) { other.ends_ = {-1, -1}; }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  /// -1 once closed.
  int read_end() const noexcept { return ends_[0]; }
  int write_end() const noexcept { return ends_[1]; }
  void close_read_end() { close(0); }
  void close_write_end() { close(1); }
  /// Appends what is there to `text`, and says how many bytes; nothing at the end. It waits for
  /// some, unless the read end is non-blocking.
  std::optional<std::size_t> read_some(std::string& text);

 private:
  void close(std::size_t end);
  std::array<int, 2> ends_{-1, -1};
};

/// What a program printed to standard output, and its exit status.
struct Captured {
  std::string output;
  int status = 0;
};
/// Runs it to its end; setup.output is the pipe. IoError when it cannot be run.
Captured capture(ChildSetup setup);

/// Where this program lies; its sister programs are beside it.
std::filesystem::path own_program();

}  // namespace compat
