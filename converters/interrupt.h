// Ctrl-C in the middle of long work: temporaries are removed on the way out, then the program ends as the signal says.
#pragma once

#include <exception>

namespace converters {

/// Thrown where work notices the signal; the guard raises the signal again on the way out.
class Interrupted : public std::exception {
 public:
  const char* what() const noexcept override { return "interrupted"; }
};

/// While it lives, SIGINT and SIGTERM only set a flag.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();  ///< Restores the handlers; a signal that came in between is raised again, for its usual effect.
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Throws Interrupted once a signal has come.
  static void check();
};

}  // namespace converters
