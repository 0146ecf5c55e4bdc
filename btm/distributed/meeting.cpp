#include "btm/distributed/meeting.h"

#include <c10/util/Logging.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "btm/distributed/communicator.h"
#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/sha256.h"

namespace btm {
namespace {

constexpr auto kTimeToCome = std::chrono::minutes(5);
constexpr auto kTimeToTell = std::chrono::seconds(25);
constexpr auto kTimeToHear =
    std::chrono::seconds(25);  // of what is wrong, for ranks that come after the others
constexpr const char *kRun = "run", *kSize = "size", *kOtherSize = "other_size";

bool hosts_store(const Rendezvous& place) { return place.rank == 0 && !place.agent_store; }

std::string digest(const std::string& token, const std::string& use) {
  return compat::sha256_hex(compat::as_byte_span(use + token));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

c10::intrusive_ptr<c10d::Store> connected(const Rendezvous& place, bool as_server, int store_socket,
                                          std::chrono::milliseconds patience) {
  std::signal(SIGPIPE, SIG_IGN);  // c10d and gloo write to connections that a dead rank has closed
  // c10d would log a page of call stack, on every rank, when a connection closes.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(place.port);
  options.isServer = as_server;
  options.waitWorkers = false;
  options.timeout = patience;
  if (as_server && store_socket >= 0) options.masterListenFd = store_socket;
  c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(place.host, options);
  if (!place.store_prefix.empty())
    store = c10::make_intrusive<c10d::PrefixStore>(place.store_prefix, store);
  return store;
}

/// Where another process has the port of rank 0, that may be another rank 0: then `hosts` becomes
/// false.
c10::intrusive_ptr<c10d::Store> open_store(const Rendezvous& place, int store_socket, bool& hosts) {
  try {
    if (!hosts || store_socket >= 0) return connected(place, hosts, store_socket, kTimeToCome);
    try {
      return connected(place, true, -1, kTimeToCome);
    } catch (const std::exception& error) {
      if (std::string_view(error.what()).find("EADDRINUSE") == std::string_view::npos) throw;
      hosts = false;
      try {
        return connected(place, false, -1, kTimeToHear);
      } catch (const std::exception&) {
        throw std::runtime_error("another program has the port");
      }
    }
  } catch (const std::exception& error) {
    throw RankLost(compat::concat("rank ", place.rank, " of ", place.size,
                                  " cannot reach the others at ", place.host, ':', place.port, ": ",
                                  first_line(error.what())));
  }
}

/// Ends this rank with the problem that the store holds, and lets rank 0 know.
[[noreturn]] void end_with_problem(c10d::Store& store) {
  const std::string problem = store.get_to_str(kRunProblem);
  store.add(kRunProblemHeard, 1);
  throw compat::UsageError(problem);
}

/// Keeps the store of rank 0, which has ended with a problem, until the others have heard of it.
void await_hearers(c10d::Store& store, const Rendezvous& place) {
  int ranks = place.size;
  for (const char* key : {kSize, kOtherSize})
    if (store.check({key})) ranks = std::max(ranks, std::atoi(store.get_to_str(key).c_str()));
  const auto start = std::chrono::steady_clock::now();
  while (store.add(kRunProblemHeard, 0) < ranks &&
         std::chrono::steady_clock::now() - start < kTimeToHear)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

/// Returns when the store holds `key`. RankLost after kTimeToCome; UsageError with the problem that
/// a rank has found.
void await_key(c10d::Store& store, const char* key, const Rendezvous& place) {
  const auto start = std::chrono::steady_clock::now();
  for (auto pause = std::chrono::milliseconds(2); !store.check({key});
       pause = std::min(2 * pause, std::chrono::milliseconds(200))) {
    if (store.check({kRunProblem})) end_with_problem(store);
    if (std::chrono::steady_clock::now() - start > kTimeToCome)
      throw RankLost(compat::concat("waited ", std::chrono::seconds(kTimeToCome).count(),
                                    " seconds at ", place.host, ':', place.port, " for ",
                                    place.size, " ranks: ", store.add("came", 0), " came"));
    std::this_thread::sleep_for(pause);
  }
}

/// The first problem counts, for all.
[[noreturn]] void end_run(c10d::Store& store, const std::string& problem) {
  store.compareSet(kRunProblem, "", problem);
  end_with_problem(store);
}

/// Keys of this run alone: with the token in their names.
c10::intrusive_ptr<c10d::Store> store_of_run(const c10::intrusive_ptr<c10d::Store>& store,
                                             const Rendezvous& place, bool hosts) {
  const std::string run = digest(place.token, "run");
  if (hosts || (place.rank == 0 && place.agent_store)) store->set(kRun, run);
  await_key(*store, kRun, place);
  if (store->get_to_str(kRun) != run)
    throw compat::UsageError(compat::concat("the ranks that meet at ", place.host, ':', place.port,
                                            " belong to another run (", kRunToken,
                                            ", torchrun's run id or Slurm's step differ)"));
  return c10::make_intrusive<c10d::PrefixStore>(digest(place.token, "keys"), store);
}

/// Says the same whichever of two ranks ("3 on rank 1") comes first: the lower rank leads.
std::string difference_of_sizes(const std::string& one, const std::string& other) {
  const auto rank = [](const std::string& text) {
    return std::atoi(text.substr(text.rfind(' ') + 1).c_str());
  };
  const bool in_order = rank(one) < rank(other);
  return "the ranks differ: the number of ranks (--distributed-world-size, WORLD_SIZE) is " +
         (in_order ? one : other) + " and " + (in_order ? other : one);
}

void join_run(c10d::Store& store, const Rendezvous& place) {
  constexpr const char* kAll = "all_are_here";
  const std::string own = compat::concat("rank ", place.rank), size = std::to_string(place.size);
  if (store.add(compat::concat("here/", place.rank), 1) > 1)
    end_run(store, own + " of " + size + " connected twice");
  const std::string first = store.compareSet(kSize, "", size + " on " + own);
  if (first.substr(0, first.find(' ')) != size && !first.empty()) {
    store.set(kOtherSize, size);
    end_run(store, difference_of_sizes(first, size + " on " + own));
  }
  if (store.add("came", 1) == place.size) store.set(kAll, std::string("yes"));
  await_key(store, kAll, place);
}

}  // namespace

Meeting::Meeting(const Rendezvous& place, int store_socket)
    : place_(place), exceptions_(std::uncaught_exceptions()) {
  bool hosts = hosts_store(place_);
  store_ = open_store(place_, store_socket, hosts);
  join(hosts);
}

Meeting::Meeting(const Rendezvous& place, c10::intrusive_ptr<c10d::Store> store, bool hosts)
    : place_(place), exceptions_(std::uncaught_exceptions()), store_(std::move(store)) {
  join(hosts);
}

void Meeting::join(bool hosts) {
  try {
    store_ = store_of_run(store_, place_, hosts);
    join_run(*store_, place_);
  } catch (const compat::UsageError&) {
    if (hosts) await_hearers(*store_, place_);
    throw;
  }
  watch_ = std::make_unique<RankWatch>(store_->clone(), place_.rank, place_.size);
}

std::shared_ptr<Meeting> Meeting::of_one(const Rendezvous& place) {
  if (place.host.empty() || place.port == 0 || place.agent_store) return nullptr;
  try {
    // Of this process alone: where another one has the port, that one is none of this run.
    return std::shared_ptr<Meeting>(
        new Meeting(place, connected(place, /*as_server=*/true, -1, kTimeToTell), true));
  } catch (const compat::UsageError&) {
    throw;
  } catch (const std::exception&) {
    return nullptr;
  }
}

void Meeting::tell(const MisplacedRank& rank) noexcept {
  try {
    const Rendezvous& place = rank.place();
    const c10::intrusive_ptr<c10d::Store> store = connected(place, false, -1, kTimeToTell);
    store->wait({kRun}, kTimeToTell);
    if (store->get_to_str(kRun) != digest(place.token, "run")) return;
    c10d::PrefixStore run(digest(place.token, "keys"), store);
    run.compareSet(kRunProblem, "", std::string("a rank was started with ") + rank.what());
    run.add(kRunProblemHeard, 1);
  } catch (const std::exception&) {
    // There is nobody.
  }
}

bool Meeting::failing() const {
  return std::uncaught_exceptions() > exceptions_ || !watch_->lost().empty();
}

Meeting::~Meeting() {
  if (failing()) {
    watch_->leave_if_silent();
    watch_->report_own_failure();
    // The store lives in this process; the others are to hear who was lost.
    if (hosts_store(place_) && place_.size > 1)
      std::this_thread::sleep_for(std::chrono::seconds(2));
  } else {
    watch_->leave(hosts_store(place_));
  }
}

std::string Meeting::own_address() const {
  // The source address of a (never sent) datagram to the store: right on machines with several
  // networks, and where the machine's own name does not resolve.
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  std::string address = place_.host;
  if (::getaddrinfo(place_.host.c_str(), std::to_string(place_.port).c_str(), &hints, &found) != 0)
    return address;
  const int fd = ::socket(found->ai_family, SOCK_DGRAM, 0);
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  std::array<char, NI_MAXHOST> text{};
  if (fd >= 0 && ::connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
      ::getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0)
    address = text.data();
  if (fd >= 0) ::close(fd);
  ::freeaddrinfo(found);
  return address;
}

}  // namespace btm
