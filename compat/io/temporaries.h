// Files and folders that are being written. A signal that ends the process removes them first.
#pragma once

#include <filesystem>

namespace compat {

/// Removes the paths of all TemporaryNotes. For signal handlers: allocates no memory and takes no
/// locks.
void remove_noted_temporaries() noexcept;

/// While it exists, a signal removes this file, or this folder with all its contents.
class TemporaryNote {
 public:
  explicit TemporaryNote(const std::filesystem::path& path) noexcept;
  ~TemporaryNote();
  TemporaryNote(const TemporaryNote&) = delete;
  TemporaryNote& operator=(const TemporaryNote&) = delete;

 private:
  int slot_;  ///< -1 when the table of notes is full.
};

/// Signals wait while one of these exists. For renaming files that belong together.
class SignalsWait {
 public:
  SignalsWait() noexcept;
  ~SignalsWait();  ///< The last one delivers a signal that came meanwhile.
  SignalsWait(const SignalsWait&) = delete;
  SignalsWait& operator=(const SignalsWait&) = delete;
};

/// For handlers of signals: whether a SignalsWait lives, which will then raise `signal` at its end.
bool held_back_by_wait(int signal) noexcept;

}  // namespace compat
