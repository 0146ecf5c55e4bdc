#include "btm/run/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "compat/base/error.h"

namespace btm {
namespace {

constexpr int kCannotRun = 127;

std::optional<int> exit_status(pid_t pid, int options) {
  int status = 0;
  pid_t found;
  do found = ::waitpid(pid, &status, options);
  while (found < 0 && errno == EINTR);
  if (found != pid) return std::nullopt;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw compat::IoError("pipe", "create", errno);
  }
  ~Pipe() {
    for (const int end : ends)
      if (end >= 0) ::close(end);
  }
  void close(std::size_t end) {
    ::close(ends[end]);
    ends[end] = -1;
  }
};

/// Runs between fork and exec, with only the calls that are safe there. When the program cannot be
/// run, writes errno to `report` and ends.
[[noreturn]] void become(char* const* arguments, const char* folder, int output, int report,
                         pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotRun);  // the parent died before the request above
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  if (output >= 0) {
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
  }
  if (::chdir(folder) == 0) ::execvp(arguments[0], arguments);
  const int error = errno;
  if (::write(report, &error, sizeof error) < 0) ::_exit(kCannotRun);
  ::_exit(kCannotRun);
}

std::vector<char*> pointers(std::vector<std::string>& argv) {
  std::vector<char*> list;
  for (std::string& argument : argv) list.push_back(argument.data());
  list.push_back(nullptr);
  return list;
}

}  // namespace

SignalQueue::SignalQueue() {
  ::sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) ::sigaddset(&signals_, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
}

SignalQueue::~SignalQueue() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

std::optional<int> SignalQueue::wait(std::chrono::milliseconds timeout) {
  const timespec limit{timeout.count() / 1000, timeout.count() % 1000 * 1000000};
  const int signal = ::sigtimedwait(&signals_, nullptr, &limit);
  return signal > 0 ? std::optional(signal) : std::nullopt;
}

Child::Child(const std::vector<std::string>& argv, const std::filesystem::path& folder,
             int output) {
  std::vector<std::string> arguments = argv;
  const std::vector<char*> list = pointers(arguments);
  Pipe report;
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw compat::IoError(argv.front(), "start", errno);
  if (pid_ == 0) become(list.data(), folder.c_str(), output, report.ends[1], parent);
  report.close(1);
  int error = 0;
  ssize_t got;
  do got = ::read(report.ends[0], &error, sizeof error);
  while (got < 0 && errno == EINTR);
  if (got != sizeof error) return;
  status_ = exit_status(pid_, 0);
  throw compat::IoError(argv.front(), "run", error);
}

std::optional<int> Child::poll() {
  if (!status_) status_ = exit_status(pid_, WNOHANG);
  return status_;
}

int Child::wait(SignalQueue& signals, bool& interrupted) {
  int asked = 0;
  while (!poll()) {
    const auto signal = signals.wait(std::chrono::milliseconds(200));
    if (!signal || *signal == SIGCHLD) continue;
    interrupted = true;
    send(++asked < 3 ? SIGTERM : SIGKILL);
  }
  return *status_;
}

void Child::send(int signal) const {
  if (!status_) ::kill(pid_, signal);
}

Captured capture(const std::vector<std::string>& argv) {
  std::vector<std::string> arguments = argv;
  const std::vector<char*> list = pointers(arguments);
  Pipe output;
  const pid_t pid = ::fork();
  if (pid < 0) throw compat::IoError(argv.front(), "start", errno);
  if (pid == 0) {
    ::dup2(output.ends[1], STDOUT_FILENO);
    ::execvp(list[0], list.data());
    ::_exit(kCannotRun);
  }
  output.close(1);
  Captured captured;
  std::array<char, 4096> buffer{};
  for (ssize_t got; (got = ::read(output.ends[0], buffer.data(), buffer.size())) != 0;) {
    if (got > 0) captured.output.append(buffer.data(), static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR) break;
  }
  captured.status = exit_status(pid, 0).value_or(kCannotRun);
  return captured;
}

std::filesystem::path own_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

}  // namespace btm
