#include "btm/trainer/signals.h"

#include <algorithm>
#include <array>
#include <csignal>

#include "compat/base/concat.h"

namespace btm {
namespace {

constexpr std::array kSignals{SIGTERM, SIGINT, SIGUSR1};
std::array<struct sigaction, kSignals.size()> previous;
volatile std::sig_atomic_t received = 0;

void take(int signal) {
  if (received == 0) received = signal;
  // The second one has its old effect: it removes temporaries and ends the process.
  if (signal == SIGINT)
    sigaction(SIGINT, &previous[std::ranges::find(kSignals, SIGINT) - kSignals.begin()], nullptr);
}

}  // namespace

SignalGuard::SignalGuard() {
  received = 0;
  struct sigaction action {};
  action.sa_handler = take;
  action.sa_flags = SA_RESTART;  // restart interrupted writes of a checkpoint
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

SignalGuard::~SignalGuard() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

int received_signal() noexcept { return received; }

std::string signal_name(int signal) {
  return signal == SIGTERM   ? "SIGTERM"
         : signal == SIGINT  ? "SIGINT"
         : signal == SIGUSR1 ? "SIGUSR1"
                             : compat::concat("signal ", signal);
}

}  // namespace btm
