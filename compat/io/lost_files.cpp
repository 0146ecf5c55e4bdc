#include "compat/io/lost_files.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>

#include "compat/base/error.h"
#include "compat/io/temporaries.h"

namespace compat {
namespace {

constexpr const char* kProblem =
    ": can no longer be read: it was shortened while it was open, or its disk failed\n";

/// Readable from a signal handler: fixed memory, no locks. `begin` is set last and cleared first.
struct Mapping {
  std::atomic<bool> taken{false};
  std::atomic<std::uintptr_t> begin{0}, end{0};
  std::array<char, 4352> path{};
};
std::array<Mapping, 1024> mappings;
std::array<char, 256> lost_label{};

void print_error(const char* text) noexcept {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) ::_exit(1);
}

extern "C" void report_lost_file(int signal, siginfo_t* info, void*) {
  const bool sent = info->si_code <= 0;  // sent by a process: there is no address
  const auto at = sent ? 0 : reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (const Mapping& mapping : mappings) {
    if (mapping.begin == 0 || at < mapping.begin || at >= mapping.end) continue;
    print_error(lost_label.data());
    print_error(mapping.path.data());
    print_error(kProblem);
    remove_noted_temporaries();
    ::_exit(1);
  }
  ::signal(signal, SIG_DFL);
  if (sent) ::raise(signal);  // a fault repeats without this
}

}  // namespace

void report_lost_files(const std::string& label) {
  const std::string text = printable(label, 200) + ": error: ";
  lost_label[text.copy(lost_label.data(), lost_label.size() - 1)] = '\0';
  struct sigaction action {};
  action.sa_sigaction = report_lost_file;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

void note_mapping(std::span<const std::byte> bytes, const std::string& path) noexcept {
  for (Mapping& mapping : mappings) {
    if (mapping.taken.exchange(true)) continue;
    const std::string text = printable(path, 4096);
    mapping.path[text.copy(mapping.path.data(), mapping.path.size() - 1)] = '\0';
    mapping.end = reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.size();
    mapping.begin = reinterpret_cast<std::uintptr_t>(bytes.data());
    return;
  }
}

void forget_mapping(std::span<const std::byte> bytes) noexcept {
  for (Mapping& mapping : mappings) {
    if (mapping.begin != reinterpret_cast<std::uintptr_t>(bytes.data())) continue;
    mapping.begin = 0;
    mapping.taken = false;
    return;
  }
}

}  // namespace compat
