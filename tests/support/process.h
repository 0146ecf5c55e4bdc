// Runs a built program and keeps its output.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace btm_test {

/// Whether a server may listen at this port of this machine.
inline bool is_free(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const bool free = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return free;
}

/// A port for this run of the tests, below the ports that the system assigns: the same for the same
/// `offset`, which is below 16. run_ranks_test uses those below 9, train_ranks_test uses 9.
inline std::string own_port(int offset) {
  static std::map<int, int> ports;
  const auto [found, is_new] = ports.try_emplace(offset, ::getpid() * 16 + offset);
  if (is_new)
    while (!is_free(20000 + found->second % 12000)) found->second += 16;
  return std::to_string(20000 + found->second % 12000);
}

/// A child process. It is killed at the end of the scope if it still runs.
class Process {
 public:
  /// Starts `program` of the build with these variables added to the environment.
  Process(const std::string& program, const std::vector<std::string>& args,
          const std::map<std::string, std::string>& variables = {}) {
    if (::pipe(out_.data()) != 0 || ::pipe(err_.data()) != 0)
      throw std::runtime_error("pipe failed");
    std::string path = std::string(BTM_BIN_DIR) + "/" + program;
    std::vector<char*> pointers{path.data()};
    std::vector<std::string> copies = args;
    for (std::string& arg : copies) pointers.push_back(arg.data());
    pointers.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ == 0) {
      ::dup2(out_[1], STDOUT_FILENO);
      ::dup2(err_[1], STDERR_FILENO);
      for (const int fd : {out_[0], out_[1], err_[0], err_[1]}) ::close(fd);
      ::signal(SIGINT, SIG_DFL);  // a shell's background jobs ignore it
      for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
      ::execv(path.c_str(), pointers.data());
      ::_exit(127);
    }
    ::close(out_[1]);
    ::close(err_[1]);
  }
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    for (const int fd : {out_[0], err_[0]})
      if (fd >= 0) ::close(fd);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const noexcept { return pid_; }
  const std::string& out() const noexcept { return out_text_; }
  const std::string& err() const noexcept { return err_text_; }

  /// Reads until standard output contains `phrase`. Throws after the limit, or when the process
  /// ends before.
  void wait_for_output(const std::string& phrase) {
    while (out_text_.find(phrase) == std::string::npos)
      if (!read_some())
        throw std::runtime_error("ended without printing '" + phrase + "': " + out_text_ +
                                 err_text_);
  }

  /// Gives the process so much time from now on, instead of three minutes since its start.
  void set_limit(std::chrono::seconds limit) {
    deadline_ = std::chrono::steady_clock::now() + limit;
  }

  /// The exit status, or 128 + the number of the signal that killed it. Throws after the limit.
  int wait() {
    while (read_some()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  /// False at the end of both streams.
  bool read_some() {
    if (std::chrono::steady_clock::now() > deadline_)
      throw std::runtime_error("still running after its time: " + out_text_ + err_text_);
    std::array<pollfd, 2> watched{{{out_[0], POLLIN, 0}, {err_[0], POLLIN, 0}}};
    if (::poll(watched.data(), watched.size(), 1000) < 0) return true;
    drain(watched[0], out_[0], out_text_);
    drain(watched[1], err_[0], err_text_);
    return out_[0] >= 0 || err_[0] >= 0;
  }
  static void drain(const pollfd& seen, int& fd, std::string& text) {
    if (fd < 0 || seen.revents == 0) return;
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got > 0) {
      text.append(buffer.data(), static_cast<std::size_t>(got));
    } else {
      ::close(fd);
      fd = -1;
    }
  }

  pid_t pid_ = -1;
  std::array<int, 2> out_{-1, -1}, err_{-1, -1};
  std::string out_text_, err_text_;
  std::chrono::steady_clock::time_point deadline_ =
      std::chrono::steady_clock::now() + std::chrono::minutes(3);
};

}  // namespace btm_test
