// Temporaries that a signal removes: files and folders that are being written, until they are
// renamed to what they become.
#pragma once

#include <filesystem>

namespace compat {

/// Removes what TemporaryNotes name. For handlers of other signals: takes no memory and no locks.
void remove_noted_temporaries() noexcept;

/// Names a file, or a folder with all that is in it, that is removed when one of the signals comes.
class TemporaryNote {
 public:
  explicit TemporaryNote(const std::filesystem::path& path) noexcept;
  ~TemporaryNote();
  TemporaryNote(const TemporaryNote&) = delete;
  TemporaryNote& operator=(const TemporaryNote&) = delete;

 private:
  int slot_;  ///< -1: beyond those that can be noted at once.
};

/// While one lives the signals wait: for renaming files that belong together.
class SignalsWait {
 public:
  SignalsWait() noexcept;
  ~SignalsWait();  ///< The last one lets a signal take effect that came meanwhile.
  SignalsWait(const SignalsWait&) = delete;
  SignalsWait& operator=(const SignalsWait&) = delete;
};

/// For handlers of signals: whether a SignalsWait lives, which will then raise `signal` at its end.
bool held_back_by_wait(int signal) noexcept;

}  // namespace compat
