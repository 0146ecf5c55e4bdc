#include "compat/program/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "compat/base/error.h"

namespace compat {
namespace {

constexpr int kCannotRun = 127;

/// What exec wants, made before the fork: between the two no memory may be taken.
struct ExecArguments {
  std::vector<std::string> texts;
  std::vector<char*> pointers;

  explicit ExecArguments(std::vector<std::string> list) : texts(std::move(list)) {
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
  }
};

std::string_view name_of_variable(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

/// This process's variables but for those that `changed` sets, and those.
std::vector<std::string> environment_with(const std::vector<std::string>& changed) {
  std::vector<std::string> variables = changed;
  for (char** variable = environ; *variable != nullptr; ++variable)
    if (std::ranges::none_of(changed, [&](const std::string& one) {
          return name_of_variable(one) == name_of_variable(*variable);
        }))
      variables.emplace_back(*variable);
  return variables;
}

/// In the child: only calls that are safe between fork and exec. Writes errno to `report` and ends
/// when the program cannot be run.
[[noreturn]] void become(const ChildSetup& setup, const char* program, char* const* arguments,
                         char* const* environment, int report, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, setup.when_orphaned);
  if (::getppid() != parent) ::_exit(kCannotRun);  // it died before the request above
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  if (setup.output >= 0) ::dup2(setup.output, STDOUT_FILENO);
  if (setup.errors >= 0) ::dup2(setup.errors, STDERR_FILENO);
  if (setup.kept >= 0) ::fcntl(setup.kept, F_SETFD, 0);
  if (setup.folder.empty() || ::chdir(setup.folder.c_str()) == 0)
    ::execvpe(program, arguments, environment);
  const int error = errno;
  if (::write(report, &error, sizeof error) < 0) ::_exit(kCannotRun);
  ::_exit(kCannotRun);
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd >= 0) ::close(fd);
}

Pipe::Pipe() {
  if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw IoError("pipe", "create", errno);
}

Pipe::~Pipe() {
  close(0);
  close(1);
}

void Pipe::close(std::size_t end) {
  if (ends_[end] >= 0) ::close(ends_[end]);
  ends_[end] = -1;
}

std::optional<std::size_t> Pipe::read_some(std::string& text) {
  std::array<char, 4096> buffer{};
  ssize_t got;
  do got = ::read(ends_[0], buffer.data(), buffer.size());
  while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return 0;
  if (got <= 0) return std::nullopt;
  text.append(buffer.data(), static_cast<std::size_t>(got));
  return static_cast<std::size_t>(got);
}

Child::Child(const ChildSetup& setup) {
  const std::string& name = setup.argv.front();
  const std::string program = setup.program.empty() ? name : setup.program.string();
  ExecArguments arguments(setup.argv), environment(environment_with(setup.environment));
  Pipe report;
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw IoError(name, "start", errno);
  if (pid_ == 0)
    become(setup, program.c_str(), arguments.pointers.data(), environment.pointers.data(),
           report.write_end(), parent);
  report.close_write_end();
  int error = 0;
  ssize_t got;
  do got = ::read(report.read_end(), &error, sizeof error);
  while (got < 0 && errno == EINTR);
  if (got != sizeof error) return;
  wait();
  throw IoError(name, "run", error);
}

std::optional<int> Child::reap(int options) {
  int status = 0;
  pid_t found;
  do found = ::waitpid(pid_, &status, options);
  while (found < 0 && errno == EINTR);
  if (found != pid_) return std::nullopt;
  if (WIFSIGNALED(status)) killed_by_ = WTERMSIG(status);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + killed_by_;
}

std::optional<int> Child::poll() {
  if (!status_) status_ = reap(WNOHANG);
  return status_;
}

int Child::wait() {
  if (!status_) status_ = reap(0).value_or(kCannotRun);
  return *status_;
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

Captured capture(ChildSetup setup) {
  Pipe output;
  setup.output = output.write_end();
  Child child(setup);
  output.close_write_end();
  Captured captured;
  while (output.read_some(captured.output)) {
  }
  captured.status = child.wait();
  return captured;
}

std::filesystem::path own_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

}  // namespace compat
