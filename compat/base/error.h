// Errors that compat reports. One line each: which file, where in it, what was found, what was
// expected.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace compat {

/// A place in an input. Printed as `FILE[ENTRY]+0xOFFSET`; parts that are unknown are left out.
struct Location {
  std::string file;
  std::string entry;  ///< Member of an archive, section of a format; may be empty.
  std::optional<std::uint64_t>
      offset;  ///< Bytes from the start of `entry`, or of `file` without one.
};

std::string to_string(const Location& where);

/// The input breaks its format. what() is `WHERE: PROBLEM`, one line, control characters escaped.
class FormatError : public std::runtime_error {
 public:
  FormatError(Location where, std::string_view problem);
  const Location& where() const noexcept { return where_; }

 private:
  Location where_;
};

/// The input is valid, but this program does not do what it asks for. Names every reason found.
class UnsupportedError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The operating system refused: what() is `PATH: ACTION: strerror`.
class IoError : public std::runtime_error {
 public:
  IoError(std::string_view path, std::string_view action, int error_number);
  /// For a refusal of our own (a directory where a file is expected): `PATH: PROBLEM`.
  IoError(std::string_view path, std::string_view problem);
};

/// The command line is wrong. Programs end with status 2 on it.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// `text` with control characters, quotes, backslashes and invalid UTF-8 escaped, cut to `limit`
/// bytes: safe to print, one line, whatever an input file held.
std::string printable(std::string_view text, std::size_t limit = 80);

/// The whole of `text`, only control characters and invalid UTF-8 escaped: for data of an input
/// file on a terminal.
std::string without_controls(std::string_view text);

/// Length of the UTF-8 sequence at the front of `text`, which is not empty; 0 when there is none.
std::size_t utf8_length(std::string_view text) noexcept;

/// Where `text` stops being UTF-8 (overlong forms and surrogates are not UTF-8), or npos.
std::size_t first_invalid_utf8(std::string_view text) noexcept;

}  // namespace compat
