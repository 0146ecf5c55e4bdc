#include "btm/distributed/launcher.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "compat/base/error.h"

namespace btm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kStoreSocket = "BTM_STORE_SOCKET";
constexpr auto kTimeToExplain =
    std::chrono::seconds(3);  // for the rank at fault to end after one that only noticed
constexpr auto kTimeToEnd = std::chrono::seconds(5);  // between SIGTERM and SIGKILL
constexpr std::size_t kMostErrorText = 64 << 10;

[[noreturn]] void refuse(const char* action) {
  throw compat::IoError("starting ranks", action, errno);
}

struct Socket {
  int fd = -1, port = 0;
};

/// A socket that listens on a free port of the loopback device. It is inherited by rank 0, so that
/// nobody can take the port.
Socket listen_on_free_port() {
  Socket socket;
  socket.fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (socket.fd < 0) refuse("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(socket.fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(socket.fd, SOMAXCONN) != 0 ||
      ::getsockname(socket.fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    refuse("listen");
  socket.port = ntohs(address.sin_port);
  return socket;
}

std::vector<std::string> own_arguments() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  std::vector<std::string> arguments;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\0', from), text.size());
    arguments.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  if (arguments.empty()) throw compat::IoError("/proc/self/cmdline", "cannot be read");
  return arguments;
}

/// The environment of a rank, as execve wants it.
class RankEnvironment {
 public:
  RankEnvironment(const Rendezvous& place, int local_rank, int port, int store_socket) {
    set(kLaunched, "1");
    set("MASTER_ADDR", place.host);
    set("MASTER_PORT", std::to_string(port));
    set("WORLD_SIZE", std::to_string(place.size));
    set("RANK", std::to_string(place.rank + local_rank));
    set("LOCAL_RANK", std::to_string(local_rank));
    set("LOCAL_WORLD_SIZE", std::to_string(place.spawn));
    set("TORCHELASTIC_USE_AGENT_STORE", "False");
    set(kRunToken, place.token);
    if (store_socket >= 0) set(kStoreSocket, std::to_string(store_socket));
    if (std::getenv("OMP_NUM_THREADS") == nullptr) {
      const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
      set("OMP_NUM_THREADS", std::to_string(std::max(1, cores / place.spawn)));
    }
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const std::string text = *variable;
      const std::string name = text.substr(0, text.find('='));
      if (std::find(names_.begin(), names_.end(), name) == names_.end()) variables_.push_back(text);
    }
    for (std::string& variable : variables_) pointers_.push_back(variable.data());
    pointers_.push_back(nullptr);
  }
  char** get() { return pointers_.data(); }

 private:
  void set(const std::string& name, const std::string& value) {
    names_.push_back(name);
    variables_.push_back(name + "=" + value);
  }
  std::vector<std::string> names_, variables_;
  std::vector<char*> pointers_;
};

std::string random_token() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    refuse("getrandom");
  std::string text;
  for (const unsigned char byte : bytes) text += std::to_string(byte) + ".";
  return text;
}

struct Rank {
  pid_t pid = -1;
  int error_pipe = -1;        ///< What it writes to standard error, for all but the first.
  std::string error_text;     ///< The last of it.
  std::optional<int> status;  ///< As waitpid has it, once it has ended.

  bool failed() const { return status && *status != 0; }
  bool only_noticed() const {
    return status && WIFEXITED(*status) && WEXITSTATUS(*status) == kRankLostStatus;
  }
};

int exit_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

class Launcher {
 public:
  Launcher(const Rendezvous& place, std::string program)
      : place_(place), program_(std::move(program)) {
    if (place_.token.empty() && place_.spawn == place_.size) place_.token = random_token();
  }
  int run();

 private:
  void block_signals();
  void start_all();
  void start(int local_rank, char** arguments, int port, int store_socket);
  void wait_for_events(std::chrono::milliseconds patience);
  void read_errors(Rank& rank);
  void reap();
  void pass_on_signals();
  void signal_all(int number) const;
  bool all_ended() const;
  const Rank* first_at_fault() const;
  void end_the_rest();
  const Rank* only_one_left() const;
  void report(const Rank& culprit, const Rank* silent) const;
  std::string name_of(const Rank& rank) const {
    return "rank " + std::to_string(place_.rank + (&rank - ranks_.data())) + " of " +
           std::to_string(place_.size);
  }

  Rendezvous place_;
  std::string program_;
  sigset_t old_mask_{};
  int signals_ = -1;  ///< signalfd
  std::vector<Rank> ranks_;
  std::vector<const Rank*> ended_;  ///< In the order of their ends.
};

void Launcher::block_signals() {
  sigset_t mask;
  sigemptyset(&mask);
  for (const int number : {SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP})
    sigaddset(&mask, number);
  if (::sigprocmask(SIG_BLOCK, &mask, &old_mask_) != 0) refuse("sigprocmask");
  signals_ = ::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) refuse("signalfd");
}

void Launcher::start(int local_rank, char** arguments, int port, int store_socket) {
  const bool hosts_store = place_.rank + local_rank == 0;
  const bool inherits_stderr = local_rank == 0;
  RankEnvironment environment(place_, local_rank, port, hosts_store ? store_socket : -1);
  std::array<int, 2> pipe{-1, -1};
  if (!inherits_stderr && ::pipe2(pipe.data(), O_CLOEXEC) != 0) refuse("pipe");
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) refuse("fork");
  if (pid == 0) {
    // A group of its own: Ctrl-C reaches this process alone, which passes it on once.
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
    if (!hosts_store) {
      const int nowhere = ::open("/dev/null", O_WRONLY);
      if (nowhere >= 0) ::dup2(nowhere, STDOUT_FILENO);
      if (store_socket >= 0) ::close(store_socket);
    }
    if (!inherits_stderr) ::dup2(pipe[1], STDERR_FILENO);
    ::execve("/proc/self/exe", arguments, environment.get());
    constexpr std::string_view kProblem = "the program cannot be started again\n";
    if (::write(STDERR_FILENO, kProblem.data(), kProblem.size()) < 0) ::_exit(126);
    ::_exit(127);
  }
  if (!inherits_stderr) {
    ::close(pipe[1]);
    ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
  }
  ranks_.push_back({pid, pipe[0], {}, {}});
}

void Launcher::start_all() {
  std::vector<std::string> arguments = own_arguments();
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  Socket socket{-1, place_.port};
  if (place_.port == 0) socket = listen_on_free_port();
  ranks_.reserve(static_cast<std::size_t>(place_.spawn));
  for (int i = 0; i < place_.spawn; ++i) start(i, pointers.data(), socket.port, socket.fd);
  if (socket.fd >= 0) ::close(socket.fd);
}

void Launcher::read_errors(Rank& rank) {
  std::array<char, 4096> buffer{};
  while (rank.error_pipe >= 0) {
    const ssize_t got = ::read(rank.error_pipe, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      ::close(rank.error_pipe);
      rank.error_pipe = -1;
      return;
    }
    rank.error_text.append(buffer.data(), static_cast<std::size_t>(got));
    if (rank.error_text.size() > kMostErrorText)
      rank.error_text.erase(0, rank.error_text.size() - kMostErrorText);
  }
}

void Launcher::reap() {
  for (Rank& rank : ranks_) {
    int status = 0;
    if (rank.status || ::waitpid(rank.pid, &status, WNOHANG) != rank.pid) continue;
    rank.status = status;
    ended_.push_back(&rank);
    read_errors(rank);
  }
}

void Launcher::signal_all(int number) const {
  for (const Rank& rank : ranks_)
    if (!rank.status) ::kill(rank.pid, number);
}

void Launcher::pass_on_signals() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info)))
    if (info.ssi_signo != SIGCHLD) signal_all(static_cast<int>(info.ssi_signo));
}

void Launcher::wait_for_events(std::chrono::milliseconds patience) {
  std::vector<pollfd> watched{{signals_, POLLIN, 0}};
  for (const Rank& rank : ranks_)
    if (rank.error_pipe >= 0) watched.push_back({rank.error_pipe, POLLIN, 0});
  ::poll(watched.data(), watched.size(), static_cast<int>(patience.count()));
  pass_on_signals();
  for (Rank& rank : ranks_) read_errors(rank);
  reap();
}

bool Launcher::all_ended() const {
  return std::all_of(ranks_.begin(), ranks_.end(),
                     [](const Rank& rank) { return rank.status.has_value(); });
}

const Rank* Launcher::first_at_fault() const {
  const auto found = std::find_if(ended_.begin(), ended_.end(), [](const Rank* rank) {
    return rank->failed() && !rank->only_noticed();
  });
  return found == ended_.end() ? nullptr : *found;
}

void Launcher::end_the_rest() {
  signal_all(SIGTERM);
  for (const auto start = Clock::now(); !all_ended() && Clock::now() - start < kTimeToEnd;)
    wait_for_events(std::chrono::milliseconds(100));
  signal_all(SIGKILL);
  while (!all_ended()) wait_for_events(std::chrono::milliseconds(100));
}

/// The rank that lives while all others have noticed that one is lost: it does not answer.
const Rank* Launcher::only_one_left() const {
  const Rank* left = nullptr;
  for (const Rank& rank : ranks_) {
    if (rank.status) continue;
    if (left != nullptr) return nullptr;
    left = &rank;
  }
  return left;
}

void Launcher::report(const Rank& culprit, const Rank* silent) const {
  // The first rank has said so itself; where it failed like another one (a path that is not there),
  // its line is enough.
  const Rank& first = ranks_.front();
  if (first.failed() && !first.only_noticed() && WIFEXITED(*first.status) &&
      WIFEXITED(*culprit.status))
    return;
  std::string line;
  if (WIFSIGNALED(*culprit.status)) {
    const int number = WTERMSIG(*culprit.status);
    line = "was killed by signal " + std::to_string(number) + " (" + ::strsignal(number) + ")";
  } else if (culprit.only_noticed() && silent != nullptr) {
    std::cerr << program_ << ": error: " << name_of(*silent)
              << " does not answer; the other ranks were ended\n";
    return;
  } else if (culprit.only_noticed()) {
    line = "lost touch with the others";
  } else if (culprit.error_text.empty()) {
    line = "ended with status " + std::to_string(WEXITSTATUS(*culprit.status)) + " without a word";
  }
  std::cerr << culprit.error_text;
  if (!line.empty())
    std::cerr << program_ << ": error: " << name_of(culprit) << " " << line
              << (ranks_.size() > 1 ? "; the other ranks were ended" : "") << "\n";
}

int Launcher::run() {
  block_signals();
  start_all();
  std::optional<Clock::time_point> noticed;
  while (!all_ended() && first_at_fault() == nullptr &&
         !(noticed && Clock::now() - *noticed > kTimeToExplain)) {
    wait_for_events(noticed ? std::chrono::milliseconds(100) : std::chrono::milliseconds(60000));
    if (!noticed &&
        std::any_of(ended_.begin(), ended_.end(), [](const Rank* rank) { return rank->failed(); }))
      noticed = Clock::now();
  }
  const Rank* culprit = first_at_fault();
  if (culprit == nullptr && noticed)
    culprit = *std::find_if(ended_.begin(), ended_.end(),
                            [](const Rank* rank) { return rank->failed(); });
  if (culprit == nullptr) return 0;

  // Ranks that end by themselves (a saved interrupt, the same error on all) are not to be
  // disturbed.
  for (const auto start = Clock::now(); !all_ended() && Clock::now() - start < kTimeToExplain;)
    wait_for_events(std::chrono::milliseconds(100));
  const Rank* const silent = only_one_left();
  end_the_rest();
  report(*culprit, silent);
  return exit_status(*culprit->status);
}

}  // namespace

int launch_local_ranks(const Rendezvous& place, const std::string& program) {
  return Launcher(place, program).run();
}

int inherited_store_socket() {
  const char* const text = std::getenv(kStoreSocket);
  return text == nullptr ? -1 : std::atoi(text);
}

}  // namespace btm
