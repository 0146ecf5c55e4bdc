// The errors that compat reports. Each is one line: the file, the place in it, what was found, what
// was expected.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace compat {

/// A place in an input, printed as `FILE[ENTRY]+0xOFFSET`. Unknown parts are left out.
struct Location {
  std::string file;
  std::string entry;  ///< Member of an archive or section of a format. May be empty.
  std::optional<std::uint64_t>
      offset;  ///< In bytes from the start of `entry`, or of `file` when `entry` is empty.
};

std::string to_string(const Location& where);

/// The input breaks its format. what() is the one line `WHERE: PROBLEM`, with control characters
/// escaped.
class FormatError : public std::runtime_error {
 public:
  FormatError(Location where, std::string_view problem);
  const Location& where() const noexcept { return where_; }

 private:
  Location where_;
};

/// The input is valid, but this program does not support it. The message names every reason.
class UnsupportedError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The operating system reported an error. what() is `PATH: ACTION: strerror`.
class IoError : public std::runtime_error {
 public:
  IoError(std::string_view path, std::string_view action, int error_number);
  /// For an error that this program detects (a directory where a file is expected): `PATH:
  /// PROBLEM`.
  IoError(std::string_view path, std::string_view problem);
};

/// The command line is wrong. The program ends with status 2.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// `text` with control characters, quotes, backslashes and invalid UTF-8 escaped, cut to `limit`
/// bytes. The result is one line and safe to print, whatever the input file held.
std::string printable(std::string_view text, std::size_t limit = 80);

/// The whole of `text` with only control characters and invalid UTF-8 escaped. For printing data of
/// an input file on a terminal.
std::string without_controls(std::string_view text);

/// Length of the UTF-8 sequence at the front of `text`, which is not empty. 0 when there is none.
std::size_t utf8_length(std::string_view text) noexcept;

/// Position of the first byte of `text` that is not UTF-8, or npos. Overlong forms and surrogates
/// are not UTF-8.
std::size_t first_invalid_utf8(std::string_view text) noexcept;

}  // namespace compat
