#include "compat/io/line_source.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace compat {

LineSource::LineSource() : descriptor_(STDIN_FILENO), name_("standard input") {}

LineSource::LineSource(const std::filesystem::path& file)
    : descriptor_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)), name_(file.string()) {
  if (descriptor_ < 0) throw IoError(name_, "open", errno);
}

std::unique_ptr<LineSource> LineSource::open(const std::string& file) {
  return file == "-" ? std::make_unique<LineSource>() : std::make_unique<LineSource>(file);
}

LineSource::~LineSource() {
  if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
}

bool LineSource::terminal() const { return ::isatty(descriptor_) == 1; }

/// Reads what there is. False where nothing is there yet.
bool LineSource::fill(bool wait) {
  if (!wait) {
    pollfd ready{descriptor_, POLLIN, 0};
    if (::poll(&ready, 1, 0) == 0) return false;
  }
  buffer_.erase(0, at_);
  searched_ -= at_;
  at_ = 0;
  constexpr std::size_t kPart = std::size_t{64} << 10;
  const std::size_t before = buffer_.size();
  buffer_.resize(before + kPart);
  ssize_t count = -1;
  do count = ::read(descriptor_, buffer_.data() + before, kPart);
  while (count < 0 && errno == EINTR);
  if (count < 0) throw IoError(name_, "read", errno);
  buffer_.resize(before + static_cast<std::size_t>(count));
  ended_ = count == 0;
  return true;
}

LineSource::State LineSource::next(std::string& line, bool wait) {
  for (;;) {
    const std::size_t end = buffer_.find('\n', searched_);
    if (end != std::string::npos || (ended_ && at_ < buffer_.size())) {
      const std::size_t last = std::min(end, buffer_.size());
      line = buffer_.substr(at_, last - at_);
      if (line.ends_with('\r')) line.pop_back();
      at_ = searched_ = std::min(last + 1, buffer_.size());
      ++lines_;
      return State::kLine;
    }
    if (ended_) return State::kEnd;
    searched_ = buffer_.size();
    if (buffer_.size() - at_ > kLongestLine)
      throw FormatError({name_, concat("line ", lines_ + 1), {}},
                        "is longer than 64 MB, expected a sentence or a document");
    if (!fill(wait)) return State::kNotYet;
  }
}

}  // namespace compat
