// What a program prints: names and texts of files reach a terminal only through here.
#pragma once

#include <streambuf>
#include <string>
#include <string_view>

namespace compat {

/// Passes characters on to another buffer with without_controls() applied to all but line ends and tabs, so that nothing a
/// file, a folder or a model is called can drive a terminal or forge a line of a log.
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

}  // namespace compat
