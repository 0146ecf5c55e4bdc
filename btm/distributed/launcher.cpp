#include "btm/distributed/launcher.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
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
#include <vector>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/program/process.h"
#include "compat/program/resource_limits.h"

namespace btm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kStoreSocket = "BTM_STORE_SOCKET";
constexpr auto kTimeToExplain =
    std::chrono::seconds(10);  // for the rank at fault to end after one that only noticed
constexpr auto kTimeToEndAlone = std::chrono::seconds(3);
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
  socket.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
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

/// The variables of a rank.
std::vector<std::string> rank_environment(const Rendezvous& place, int local_rank, int port,
                                          int store_socket) {
  std::vector<std::string> variables{std::string(kLaunched) + "=1",
                                     "MASTER_ADDR=" + place.host,
                                     compat::concat("MASTER_PORT=", port),
                                     compat::concat("WORLD_SIZE=", place.size),
                                     compat::concat("RANK=", place.rank + local_rank),
                                     compat::concat("LOCAL_RANK=", local_rank),
                                     compat::concat("LOCAL_WORLD_SIZE=", place.spawn),
                                     "TORCHELASTIC_USE_AGENT_STORE=False",
                                     std::string(kRunToken) + "=" + place.token};
  if (store_socket >= 0) variables.push_back(compat::concat(kStoreSocket, '=', store_socket));
  if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    variables.push_back(
        compat::concat("OMP_NUM_THREADS=", std::max(1, compat::usable_cores() / place.spawn)));
  }
  return variables;
}

std::string random_token() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    refuse("getrandom");
  std::string text;
  for (const unsigned char byte : bytes) text += compat::concat(byte, '.');
  return text;
}

struct Rank {
  compat::Child process;
  std::optional<compat::Pipe> errors;  ///< Its standard error, for all but the first.
  std::string error_text = {};         ///< The last of it.
  std::optional<int> status = {};      ///< Once it has ended.

  bool failed() const { return status && *status != 0; }
  bool only_noticed() const { return status && *status == kRankLostStatus; }
};

class Launcher {
 public:
  Launcher(const Rendezvous& place, std::string program)
      : place_(place), program_(std::move(program)) {
    if (place_.token.empty() && place_.spawn == place_.size) place_.token = random_token();
  }
  int run();

 private:
  void start_all();
  void start(int local_rank, const std::vector<std::string>& arguments, int port, int store_socket);
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
    return compat::concat("rank ", place_.rank + (&rank - ranks_.data()), " of ", place_.size);
  }

  Rendezvous place_;
  std::string program_;
  compat::SignalQueue signals_{SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP};
  std::vector<Rank> ranks_;
  std::vector<const Rank*> ended_;  ///< In the order of their ends.
};

void Launcher::start(int local_rank, const std::vector<std::string>& arguments, int port,
                     int store_socket) {
  const bool hosts_store = place_.rank + local_rank == 0;
  const compat::Descriptor nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  std::optional<compat::Pipe> errors;
  if (local_rank > 0) errors.emplace();
  compat::Child process(
      {.argv = arguments,
       .program = "/proc/self/exe",
       .environment = rank_environment(place_, local_rank, port, hosts_store ? store_socket : -1),
       .output = hosts_store ? -1 : nowhere.fd,
       .errors = errors ? errors->write_end() : -1,
       .kept = hosts_store ? store_socket : -1,
       .when_orphaned = SIGKILL});
  if (errors) {
    errors->close_write_end();
    ::fcntl(errors->read_end(), F_SETFL, O_NONBLOCK);
  }
  ranks_.push_back({process, std::move(errors)});
}

void Launcher::start_all() {
  const std::vector<std::string> arguments = own_arguments();
  Socket socket{-1, place_.port};
  if (place_.port == 0) socket = listen_on_free_port();
  const compat::Descriptor closes(socket.fd);
  ranks_.reserve(static_cast<std::size_t>(place_.spawn));
  for (int i = 0; i < place_.spawn; ++i) start(i, arguments, socket.port, socket.fd);
}

void Launcher::read_errors(Rank& rank) {
  while (rank.errors) {
    const auto got = rank.errors->read_some(rank.error_text);
    if (rank.error_text.size() > kMostErrorText)
      rank.error_text.erase(0, rank.error_text.size() - kMostErrorText);
    if (!got)
      rank.errors.reset();
    else if (*got == 0)
      return;
  }
}

void Launcher::reap() {
  for (Rank& rank : ranks_) {
    if (rank.status || !rank.process.poll()) continue;
    rank.status = rank.process.poll();
    ended_.push_back(&rank);
    read_errors(rank);
  }
}

void Launcher::signal_all(int number) const {
  for (const Rank& rank : ranks_) rank.process.send(number);
}

void Launcher::pass_on_signals() {
  while (const auto signal = signals_.wait(std::chrono::milliseconds(0)))
    if (*signal != SIGCHLD) signal_all(*signal);
}

void Launcher::wait_for_events(std::chrono::milliseconds patience) {
  std::vector<pollfd> watched{{signals_.descriptor(), POLLIN, 0}};
  for (const Rank& rank : ranks_)
    if (rank.errors) watched.push_back({rank.errors->read_end(), POLLIN, 0});
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
  const int number = culprit.process.killed_by();
  if (first.failed() && !first.only_noticed() && first.process.killed_by() == 0 && number == 0)
    return;
  std::string line;
  if (number != 0) {
    line = compat::concat("was killed by signal ", number, " (", ::strsignal(number), ')');
  } else if (culprit.only_noticed() && silent != nullptr) {
    std::cerr << program_ << ": error: " << name_of(*silent)
              << " does not answer; the other ranks were ended\n";
    return;
  } else if (culprit.only_noticed()) {
    line = "lost touch with the others";
  } else if (culprit.error_text.empty()) {
    line = compat::concat("ended with status ", *culprit.status, " without a word");
  }
  std::cerr << culprit.error_text;
  if (!line.empty())
    std::cerr << program_ << ": error: " << name_of(culprit) << " " << line
              << (ranks_.size() > 1 ? "; the other ranks were ended" : "") << "\n";
}

int Launcher::run() {
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
  for (const auto start = Clock::now(); !all_ended() && Clock::now() - start < kTimeToEndAlone;)
    wait_for_events(std::chrono::milliseconds(100));
  const Rank* const silent = only_one_left();
  end_the_rest();
  report(*culprit, silent);
  return *culprit->status;
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
