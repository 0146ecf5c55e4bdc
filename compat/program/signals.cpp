#include "compat/program/signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "compat/base/error.h"
#include "compat/io/temporaries.h"

namespace compat {
namespace {

constexpr std::array kRequests{SIGTERM, SIGINT, SIGUSR1};
std::array<struct sigaction, kRequests.size()> before_guard;
volatile std::sig_atomic_t received = 0;

// What follows runs in a signal handler: system calls only, no memory is taken.

extern "C" void end_without_temporaries(int signal) {
  if (held_back_by_wait(signal)) return;
  remove_noted_temporaries();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

extern "C" void note_request(int signal) {
  if (received == 0) received = signal;
  // The second one does what it did before: it removes temporaries and ends the process.
  if (signal == SIGINT)
    ::sigaction(SIGINT, &before_guard[std::ranges::find(kRequests, SIGINT) - kRequests.begin()],
                nullptr);
}

// Up to here.

/// System calls go on after the handler: writes of a checkpoint, or what a SignalsWait protects.
void handle(int signal, void (*handler)(int), struct sigaction* before) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, before);
}

}  // namespace

void remove_temporaries_on_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    ::sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) handle(signal, end_without_temporaries, nullptr);
  }
}

SignalGuard::SignalGuard() {
  received = 0;
  for (std::size_t i = 0; i < kRequests.size(); ++i)
    handle(kRequests[i], note_request, &before_guard[i]);
}

SignalGuard::~SignalGuard() {
  for (std::size_t i = 0; i < kRequests.size(); ++i)
    ::sigaction(kRequests[i], &before_guard[i], nullptr);
}

int received_signal() noexcept { return received; }

std::string signal_name(int signal) {
  return signal == SIGTERM   ? "SIGTERM"
         : signal == SIGINT  ? "SIGINT"
         : signal == SIGUSR1 ? "SIGUSR1"
                             : "signal " + std::to_string(signal);
}

SignalQueue::SignalQueue(std::initializer_list<int> signals) {
  sigset_t mask;
  ::sigemptyset(&mask);
  for (const int signal : signals) ::sigaddset(&mask, signal);
  ::pthread_sigmask(SIG_BLOCK, &mask, &before_);
  descriptor_ = ::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor_ >= 0) return;
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  throw IoError("signals", "signalfd", error);
}

SignalQueue::~SignalQueue() {
  ::close(descriptor_);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> SignalQueue::wait(std::chrono::milliseconds timeout) {
  pollfd watched{descriptor_, POLLIN, 0};
  ::poll(&watched, 1, static_cast<int>(timeout.count()));
  signalfd_siginfo info{};
  if (::read(descriptor_, &info, sizeof info) != static_cast<ssize_t>(sizeof info))
    return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace compat
