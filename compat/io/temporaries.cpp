#include "compat/io/temporaries.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

namespace compat {
namespace {

constexpr std::size_t kLongestPath = 4096;
constexpr int kSlots = 64;

/// Readable from a signal handler: fixed memory, no locks.
struct Name {
  std::atomic<bool> taken{false}, noted{false};
  std::array<char, kLongestPath> path{};
};
std::array<Name, kSlots> names;

std::atomic<int> waiting{0};    ///< number of SignalsWait objects
std::atomic<int> held_back{0};  ///< the signal that came while there were some

// The functions below run in a signal handler: they make system calls only and allocate nothing.

void remove_entry(int folder, const char* name);

void remove_entries(int folder) {
  alignas(dirent64) char buffer[2048];
  for (ssize_t got; (got = ::getdents64(folder, buffer, sizeof buffer)) > 0;)
    for (ssize_t at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
        remove_entry(folder, entry->d_name);
    }
}

void remove_entry(int folder, const char* name) {
  if (::unlinkat(folder, name, 0) == 0 || errno != EISDIR) return;
  const int inner = ::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (inner < 0) return;
  remove_entries(inner);
  ::close(inner);
  ::unlinkat(folder, name, AT_REMOVEDIR);
}

}  // namespace

void remove_noted_temporaries() noexcept {
  for (Name& name : names)
    if (name.noted) remove_entry(AT_FDCWD, name.path.data());
}

bool held_back_by_wait(int signal) noexcept {
  if (waiting == 0) return false;
  held_back = signal;
  return true;
}

TemporaryNote::TemporaryNote(const std::filesystem::path& path) noexcept : slot_(-1) {
  const std::string& text = path.native();
  for (int slot = 0; slot < kSlots && text.size() < kLongestPath; ++slot) {
    Name& name = names[static_cast<std::size_t>(slot)];
    if (name.taken.exchange(true)) continue;
    text.copy(name.path.data(), text.size());
    name.path[text.size()] = '\0';
    name.noted = true;
    slot_ = slot;
    return;
  }
}

TemporaryNote::~TemporaryNote() {
  if (slot_ < 0) return;
  names[static_cast<std::size_t>(slot_)].noted = false;
  names[static_cast<std::size_t>(slot_)].taken = false;
}

SignalsWait::SignalsWait() noexcept { ++waiting; }

SignalsWait::~SignalsWait() {
  if (--waiting > 0) return;
  if (const int signal = held_back.exchange(0); signal != 0) ::raise(signal);
}

}  // namespace compat
