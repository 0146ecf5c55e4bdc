// What a program prints: names and texts of files reach a terminal only through here.
#pragma once

#include <streambuf>
#include <string>
#include <string_view>

namespace compat {

/// Passes characters on to another buffer with without_controls() applied to all but line ends and
/// tabs, so that nothing a file, a folder or a model is called can drive a terminal or forge a line
/// of a log.
class EscapingBuffer final : public std::streambuf {
 public:
  explicit EscapingBuffer(std::streambuf& target) : target_(target) {}

 protected:
  int_type overflow(int_type c) override;
  std::streamsize xsputn(const char* text, std::streamsize size) override;
  int sync() override { return target_.pubsync(); }

 private:
  bool put(std::string_view text);
  std::streambuf& target_;
  std::string begun_;  ///< A character of UTF-8 of which more bytes are to come.
};

/// From now on, and to the end of the process, std::cout and std::cerr escape.
void escape_console_output();

/// Columns of the terminal on standard error; 80 where there is none.
std::size_t terminal_width();

/// Shows `text` in place of the last line on standard error, which is a terminal: escaped, and cut
/// to its width.
void redraw_terminal_line(std::string_view text);

/// Removes that line.
void erase_terminal_line();

}  // namespace compat
