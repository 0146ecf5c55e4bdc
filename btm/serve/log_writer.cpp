#include "btm/serve/log_writer.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "compat/base/concat.h"

namespace btm {
namespace {

constexpr auto kTimeToEnd = std::chrono::seconds(2);
constexpr int kPollMilliseconds = 100;
/// A pipe that poll() calls writable has room for so many bytes (POSIX's PIPE_BUF on Linux).
constexpr std::size_t kPart = 4096;

}  // namespace

LogWriter::LogWriter(int descriptor) : descriptor_(descriptor), thread_([this] { run(); }) {}

LogWriter::~LogWriter() {
  {
    const std::lock_guard lock(mutex_);
    deadline_ = Clock::now() + kTimeToEnd;
    ends_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LogWriter::write(std::string_view line) {
  {
    const std::lock_guard lock(mutex_);
    if (pending_.size() + line.size() >= kMostBytes) {
      ++lost_;
      return;
    }
    pending_ += line;
    pending_ += '\n';
  }
  wake_.notify_one();
}

bool LogWriter::send(std::string_view text) const {
  while (!text.empty()) {
    pollfd ready{descriptor_, POLLOUT, 0};
    if (::poll(&ready, 1, kPollMilliseconds) <= 0) {
      if (ends_ && Clock::now() > deadline_) return false;
      continue;
    }
    const ssize_t count = ::write(descriptor_, text.data(), std::min(text.size(), kPart));
    if (count < 0 && errno != EINTR && errno != EAGAIN) return false;
    text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  }
  return true;
}

void LogWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ends_ || !pending_.empty(); });
    if (pending_.empty()) return;
    std::string text = std::exchange(pending_, {});
    if (const std::int64_t lost = std::exchange(lost_, 0); lost > 0)
      text += compat::concat("btm serve: ", lost, lost == 1 ? " line" : " lines",
                             " of the log were lost, because nobody read it\n");
    lock.unlock();
    const bool sent = send(text);
    lock.lock();
    if (!sent) return;
  }
}

}  // namespace btm
