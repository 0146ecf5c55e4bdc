#include "converters/byte_progress.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace converters {
namespace {

constexpr std::uint64_t kMegabyte = 1'000'000, kWorthALine = 100 * kMegabyte;

}  // namespace

ByteProgress::ByteProgress(const std::string& what, std::uint64_t total_bytes)
    : bar_(what, "tqdm", 1, false, [](const std::string& line) { std::cerr << line << std::endl; }),
      total_(total_bytes),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()) {}

double ByteProgress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void ByteProgress::advance(std::uint64_t bytes) {
  done_ += bytes;
  if (!terminal_) {
    const std::uint64_t step = std::max(total_ / 10, kWorthALine);
    if (done_ / step == shown_) return;
    shown_ = done_ / step;
  }
  bar_.update(
      static_cast<std::int64_t>(done_ / kMegabyte), static_cast<std::int64_t>(total_ / kMegabyte),
      [this] {
        const double elapsed = seconds();
        const double rate = static_cast<double>(done_) / std::max(elapsed, 1e-3);
        compat::ProgressBar::Stats stats{
            {"MB/s", std::to_string(static_cast<std::int64_t>(rate / 1e6 + 0.5))}};
        if (!terminal_) {
          const double left =
              done_ < total_ ? static_cast<double>(total_ - done_) / std::max(rate, 1.0) : 0;
          stats.emplace_back("seconds_left", std::to_string(static_cast<std::int64_t>(left + 0.5)));
        }
        return stats;
      });
}

}  // namespace converters
