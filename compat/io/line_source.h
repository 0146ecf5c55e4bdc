// Lines as they arrive from a pipe, a terminal or a file, for programs that answer each line before
// they see the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "compat/io/text_file.h"

namespace compat {

class LineSource {
 public:
  enum class State { kLine, kNotYet, kEnd };
  /// A longer line is an error.
  static constexpr std::size_t kLongestLine = std::size_t{64} << 20;

  /// Standard input.
  LineSource();
  /// A file, also a compressed one as TextFile reads it, or a FIFO. Errors of TextFile::open().
  explicit LineSource(const std::filesystem::path& file);
  /// Standard input for "-", else the file.
  static std::unique_ptr<LineSource> open(const std::string& file);
  ~LineSource();
  LineSource(const LineSource&) = delete;
  LineSource& operator=(const LineSource&) = delete;

  /// The next line without its end ("\n" or "\r\n"). The last line may lack one. kNotYet only where
  /// `wait` is false: no whole line is there yet. FormatError for a line that is too long and for
  /// damaged compressed data; IoError.
  State next(std::string& line, bool wait);
  /// Whether it is a terminal.
  bool terminal() const;
  const std::string& name() const noexcept { return name_; }

 private:
  bool fill(bool wait);
  /// Reads into `out` what is there, at least a byte; 0 at the end.
  std::size_t read(std::span<char> out);

  int descriptor_ = 0;              ///< -1: `text_` is read.
  std::unique_ptr<TextFile> text_;  ///< Never waits: a regular file.
  std::string name_;
  std::string buffer_;
  std::size_t at_ = 0;        ///< The line's beginning in the buffer.
  std::size_t searched_ = 0;  ///< No line end is before it.
  std::int64_t lines_ = 0;
  bool ended_ = false;
};

}  // namespace compat
