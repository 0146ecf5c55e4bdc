#include "compat/program/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace compat {
namespace {

/// Number of bytes at the end of `text` that may begin a character: a lead byte with fewer bytes
/// after it than it announces.
std::size_t incomplete_tail_size(std::string_view text) noexcept {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto c = static_cast<unsigned char>(text[text.size() - back]);
    if ((c & 0xC0) == 0x80) continue;
    const std::size_t wanted = c > 0xF4 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 1;
    return wanted > back ? back : 0;
  }
  return 0;
}

std::size_t width_of_terminal(int descriptor) {
  const char* const columns = std::getenv("COLUMNS");
  const auto told = number_of<std::uint16_t>(columns != nullptr ? columns : "");
  if (told && *told > 0) return *told;
  winsize size{};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// DEL and U+0080 to U+009F as JSON escapes them: a JSON text stays one, for it has none of them
/// outside of its strings. Other control characters a JSON writer has escaped already.
std::string with_unicode_escapes(std::string_view text) {
  std::string safe;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    const bool is_c1 = byte == 0xC2 && next >= 0x80 && next < 0xA0;
    if (byte != 0x7F && !is_c1) {
      safe += text[i];
      continue;
    }
    constexpr const char* kDigits = "0123456789abcdef";
    const unsigned point = is_c1 ? next : byte;
    safe += "\\u00";
    safe += kDigits[point >> 4];
    safe += kDigits[point & 15];
    if (is_c1) ++i;
  }
  return safe;
}

}  // namespace

bool EscapingBuffer::put(std::string_view text) {
  const std::string safe = without_controls(with_unicode_escapes(text));
  return target_.sputn(safe.data(), static_cast<std::streamsize>(safe.size())) ==
         static_cast<std::streamsize>(safe.size());
}

std::streamsize EscapingBuffer::xsputn(const char* characters, std::streamsize size) {
  std::string whole = std::move(begun_);
  whole.append(characters, static_cast<std::size_t>(size));
  begun_ = whole.substr(whole.size() - incomplete_tail_size(whole));
  std::string_view rest = std::string_view(whole).substr(0, whole.size() - begun_.size());
  while (!rest.empty()) {
    const std::size_t plain = std::min(rest.find_first_of("\n\t"), rest.size());
    if (plain > 0 && !put(rest.substr(0, plain))) return 0;
    if (plain < rest.size() && target_.sputc(rest[plain]) == traits_type::eof()) return 0;
    rest.remove_prefix(std::min(plain + 1, rest.size()));
  }
  return size;
}

EscapingBuffer::int_type EscapingBuffer::overflow(int_type c) {
  if (c == traits_type::eof()) return traits_type::not_eof(c);
  const char character = traits_type::to_char_type(c);
  return xsputn(&character, 1) == 1 ? c : traits_type::eof();
}

void escape_console_output() {
  // Never freed: the streams are flushed after all destructors.
  static EscapingBuffer* const out = new EscapingBuffer(*std::cout.rdbuf());
  static EscapingBuffer* const err = new EscapingBuffer(*std::cerr.rdbuf());
  std::cout.rdbuf(out);
  std::cerr.rdbuf(err);
}

std::size_t terminal_width() { return width_of_terminal(STDERR_FILENO); }

std::size_t page_width() {
  return std::clamp<std::size_t>(width_of_terminal(STDOUT_FILENO), 40, 100);
}

std::size_t table_width() {
  return ::isatty(STDOUT_FILENO) == 1 ? width_of_terminal(STDOUT_FILENO) : 0;
}

bool can_redraw_lines() {
  const char* const kind = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && (kind == nullptr || std::string_view(kind) != "dumb");
}

void redraw_terminal_line(std::string_view text) {
  std::string safe = without_controls(text);
  std::size_t end = std::min(safe.size(), terminal_width() - 1);
  while (end > 0 && end < safe.size() && (static_cast<unsigned char>(safe[end]) & 0xC0) == 0x80)
    --end;  // no part of a character
  safe.resize(end);
  std::fprintf(stderr, "\r\033[K%s", safe.c_str());
}

void erase_terminal_line() { redraw_terminal_line({}); }

}  // namespace compat
