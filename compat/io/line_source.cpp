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

LineSource::LineSource(const std::filesystem::path& file) : descriptor_(-1), name_(file.string()) {
  std::error_code unknown;
  const std::filesystem::file_type type = std::filesystem::status(file, unknown).type();
  // A shell's <(...) is a FIFO, and /dev/stdin may be a terminal.
  if (type != std::filesystem::file_type::fifo && type != std::filesystem::file_type::character) {
    text_ = TextFile::open(file);
    return;
  }
  descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw IoError(name_, "cannot open", errno);
}

std::unique_ptr<LineSource> LineSource::open(const std::string& file) {
  return file == "-" ? std::make_unique<LineSource>() : std::make_unique<LineSource>(file);
}

LineSource::~LineSource() {
  if (descriptor_ > STDIN_FILENO) ::close(descriptor_);
}

bool LineSource::terminal() const { return descriptor_ >= 0 && ::isatty(descriptor_) == 1; }

std::size_t LineSource::read(std::span<char> out) {
  if (text_ != nullptr) return text_->read(out);
  for (;;) {
    const ssize_t count = ::read(descriptor_, out.data(), out.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) throw IoError(name_, "read", errno);
  }
}

/// Reads what there is. False where nothing is there yet.
bool LineSource::fill(bool wait) {
  if (!wait && text_ == nullptr) {
    pollfd ready{descriptor_, POLLIN, 0};
    if (::poll(&ready, 1, 0) == 0) return false;
  }
  buffer_.erase(0, at_);
  searched_ -= at_;
  at_ = 0;
  constexpr std::size_t kPart = std::size_t{64} << 10;
  const std::size_t before = buffer_.size();
  buffer_.resize(before + kPart);
  const std::size_t count = read(std::span(buffer_).subspan(before));
  buffer_.resize(before + count);
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
