#include "converters/interrupt.h"

#include <array>
#include <csignal>
#include <cstddef>

namespace converters {
namespace {

constexpr std::array kSignals{SIGINT, SIGTERM};
volatile std::sig_atomic_t caught = 0;
std::array<struct sigaction, kSignals.size()> previous;

void remember(int number) { caught = number; }

}  // namespace

InterruptGuard::InterruptGuard() {
  caught = 0;
  struct sigaction action {};
  action.sa_handler = remember;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &previous[i]);
    if (previous[i].sa_handler != SIG_IGN) ::sigaction(kSignals[i], &action, nullptr);  // nohup's stays
  }
}

InterruptGuard::~InterruptGuard() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &previous[i], nullptr);
  if (caught != 0) ::raise(caught);
}

void InterruptGuard::check() {
  if (caught != 0) throw Interrupted();
}

}  // namespace converters
