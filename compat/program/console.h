// All terminal output goes through here, so that names and texts of files are escaped.
#pragma once

#include <streambuf>
#include <string>
#include <string_view>

namespace compat {

/// Passes characters to another buffer and escapes control characters with without_controls(),
/// except line ends and tabs. The name of a file, folder or model can so neither control a terminal
/// nor forge a line of a log.
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
  std::string begun_;  ///< The first bytes of a UTF-8 character that is not complete yet.
};

/// Makes std::cout and std::cerr escape, to the end of the process.
void escape_console_output();

/// Columns of the terminal on standard error: COLUMNS, or what the terminal says; 80 when neither
/// is known.
std::size_t terminal_width();

/// The same on standard output for text that is read: at least 40 and at most 100.
std::size_t page_width();

/// The same for tables; 0, which is no limit, when standard output is no terminal.
std::size_t table_width();

/// Whether a line on standard error can be replaced: it is a terminal, and TERM is not "dumb".
bool can_redraw_lines();

/// Replaces the last line on standard error, which is a terminal, by `text`. The text is escaped
/// and cut to the width of the terminal.
void redraw_terminal_line(std::string_view text);

/// Erases that line.
void erase_terminal_line();

}  // namespace compat
