#include "btm/distributed/meeting.h"

#include <c10/util/Logging.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "btm/distributed/communicator.h"

namespace btm {
namespace {

constexpr auto kTimeToCome = std::chrono::minutes(5);

bool hosts_store(const Rendezvous& place) { return place.rank == 0 && !place.agent_store; }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

c10::intrusive_ptr<c10d::Store> open_store(const Rendezvous& place, int store_socket) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(place.port);
  options.isServer = hosts_store(place);
  options.waitWorkers = false;
  options.timeout = kTimeToCome;
  if (options.isServer && store_socket >= 0) options.masterListenFd = store_socket;
  try {
    c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(place.host, options);
    if (!place.store_prefix.empty()) store = c10::make_intrusive<c10d::PrefixStore>(place.store_prefix, store);
    return store;
  } catch (const std::exception& error) {
    throw RankLost("rank " + std::to_string(place.rank) + " of " + std::to_string(place.size) + " cannot reach the others at " + place.host +
                   ":" + std::to_string(place.port) + ": " + first_line(error.what()));
  }
}

void wait_for_all(c10d::Store& store, const Rendezvous& place) {
  constexpr const char* kAll = "all_are_here";
  if (store.add("came", 1) == place.size) store.set(kAll, std::string("yes"));
  try {
    store.wait({kAll}, kTimeToCome);
  } catch (const std::exception&) {
    throw RankLost("waited " + std::to_string(std::chrono::seconds(kTimeToCome).count()) + " seconds at " + place.host + ":" +
                   std::to_string(place.port) + " for " + std::to_string(place.size) + " ranks: " + std::to_string(store.add("came", 0)) +
                   " came");
  }
}

}  // namespace

Meeting::Meeting(const Rendezvous& place, int store_socket) : place_(place), exceptions_(std::uncaught_exceptions()) {
  std::signal(SIGPIPE, SIG_IGN);  // c10d and gloo write to connections that a dead rank has closed
  // c10d would log a page of call stack, on every rank, when a connection closes.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  store_ = open_store(place_, store_socket);
  wait_for_all(*store_, place_);
  watch_ = std::make_unique<RankWatch>(store_->clone(), place_.rank, place_.size);
}

bool Meeting::failing() const { return std::uncaught_exceptions() > exceptions_ || !watch_->lost().empty(); }

Meeting::~Meeting() {
  if (failing()) {
    watch_->report_own_failure();
    // The store lives in this process; the others are to hear who was lost.
    if (hosts_store(place_)) std::this_thread::sleep_for(std::chrono::seconds(2));
  } else {
    watch_->leave(hosts_store(place_));
  }
}

std::string Meeting::own_address() const {
  // The source address of a (never sent) datagram to the store: right on machines with several networks, and where the
  // machine's own name does not resolve.
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  std::string address = place_.host;
  if (::getaddrinfo(place_.host.c_str(), std::to_string(place_.port).c_str(), &hints, &found) != 0) return address;
  const int fd = ::socket(found->ai_family, SOCK_DGRAM, 0);
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  std::array<char, NI_MAXHOST> text{};
  if (fd >= 0 && ::connect(fd, found->ai_addr, found->ai_addrlen) == 0 &&
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
      ::getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0)
    address = text.data();
  if (fd >= 0) ::close(fd);
  ::freeaddrinfo(found);
  return address;
}

}  // namespace btm
