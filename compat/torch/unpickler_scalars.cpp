#include <bit>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/torch/unpickler_machine.h"

namespace compat {
namespace {

constexpr int kHighestProtocol = 5;

/// Appends the character of `digits` hexadecimal digits after the letter of an escape, as UTF-8.
/// Returns the number of characters used, or 0.
std::size_t append_hex_escape(std::string_view text, std::size_t digits, std::string& out) {
  if (text.size() < 1 + digits) return 0;
  const auto code = number_of<std::uint32_t>(text.substr(1, digits), 16);
  if (!code || *code > 0x10FFFF) return 0;
  if (text[0] == 'x')
    out += static_cast<char>(*code);
  else
    append_utf8(*code, out);
  return 1 + digits;
}

/// Appends the meaning of one escape of a Python string literal or of raw-unicode-escape to `out`.
/// `text` starts after the backslash. Returns the number of characters used, or 0 for an invalid
/// escape.
std::size_t append_escape(std::string_view text, std::string& out) {
  if (text.empty()) return 0;
  constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
  if (const auto simple = kLetters.find(text[0]); simple != std::string_view::npos) {
    out += kMeanings[simple];
    return 1;
  }
  if (text[0] == 'x') return append_hex_escape(text, 2, out);
  if (text[0] >= '0' && text[0] <= '7') {
    unsigned value = 0;
    std::size_t used = 0;
    while (used < 3 && used < text.size() && text[used] >= '0' && text[used] <= '7')
      value = value * 8 + static_cast<unsigned>(text[used++] - '0');
    out += static_cast<char>(value & 0xFF);
    return used;
  }
  return 0;
}

}  // namespace

void UnpickleMachine::op_proto() {
  const auto version = in_.read<std::uint8_t>("the protocol number");
  if (version > kHighestProtocol)
    fail(concat("pickle protocol ", version, ", expected at most ", kHighestProtocol));
}

void UnpickleMachine::op_int() {
  const std::string_view line = in_.take_line("an INT");
  if (line == "00" || line == "01")
    push_new(line == "01");
  else
    push_decimal(line);
}

void UnpickleMachine::op_long() {
  std::string_view line = in_.take_line("a LONG");
  if (line.ends_with('L')) line.remove_suffix(1);
  push_decimal(line);
}

void UnpickleMachine::push_decimal(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) unsupported("a decimal int beyond 64 bits");
  if (error != std::errc{} || end != digits.data() + digits.size())
    fail("'" + printable(digits, 40) + "' is not an int");
  push_new(value);
}

void UnpickleMachine::op_float() {
  const std::string line(in_.take_line("a FLOAT"));
  char* end = nullptr;
  const double value = std::strtod(line.c_str(), &end);
  if (line.empty() || end != line.c_str() + line.size())
    fail("'" + printable(line, 40) + "' is not a float");
  push_new(value);
}

void UnpickleMachine::op_long4() {
  const auto size = in_.read<std::int32_t>("an int's size");
  if (size < 0) fail(concat("negative size ", size, " of an int"));
  push_long(static_cast<std::uint64_t>(size));
}

void UnpickleMachine::push_long(std::uint64_t size) {
  const auto bytes = in_.take(size, "an int");
  if (size > 8) {
    push_new(PickleBigInt{std::string(as_chars(bytes))});
    return;
  }
  const bool negative = size > 0 && (static_cast<unsigned>(bytes.back()) & 0x80U) != 0;
  std::array<unsigned char, 8> wide;
  wide.fill(negative ? 0xFF : 0);
  if (size > 0) std::memcpy(wide.data(), bytes.data(), size);
  push_new(std::bit_cast<std::int64_t>(wide));
}

void UnpickleMachine::op_binfloat() {
  auto bits = in_.read<std::uint64_t>("a float");
  push_new(std::bit_cast<double>(__builtin_bswap64(bits)));  // BINFLOAT alone is big-endian
}

void UnpickleMachine::op_binstring() {
  const auto size = in_.read<std::int32_t>("a string's size");
  if (size < 0) fail(concat("negative size ", size, " of a string"));
  push_new(std::string(take_text(static_cast<std::uint64_t>(size), "a string")));
}

void UnpickleMachine::op_bytearray() {
  const auto size = in_.read<std::uint64_t>("the size of a bytearray");
  push_new(PickleBytes{std::string(take_text(size, "a bytearray")), true});
}

void UnpickleMachine::op_string() {
  std::string_view line = in_.take_line("a STRING");
  if (line.size() < 2 || line.front() != line.back() ||
      (line.front() != '\'' && line.front() != '"'))
    fail("a STRING that is not quoted");
  line = line.substr(1, line.size() - 2);
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text += line[i];
      continue;
    }
    const std::size_t used = append_escape(line.substr(i + 1), text);
    if (used == 0) fail("an invalid escape in a STRING");
    i += used;
  }
  push_new(std::move(text));
}

void UnpickleMachine::op_unicode() {
  const std::string_view line = in_.take_line("a UNICODE");
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto rest = line.substr(i + 1);
    const bool escape = line[i] == '\\' && !rest.empty() && (rest[0] == 'u' || rest[0] == 'U');
    if (!escape) {
      append_utf8(static_cast<unsigned char>(line[i]),
                  text);  // other bytes of raw-unicode-escape are Latin-1
      continue;
    }
    const std::size_t used = append_hex_escape(rest, rest[0] == 'u' ? 4 : 8, text);
    if (used == 0) fail("an invalid escape in a UNICODE");
    i += used;
  }
  push_new(std::move(text));
}

void UnpickleMachine::add_scalar_handlers(std::array<Handler, 256>& table) {
  table[0x80] = &UnpickleMachine::op_proto;
  table[0x95] = &UnpickleMachine::op_frame;
  table['N'] = &UnpickleMachine::op_none;
  table[0x88] = &UnpickleMachine::op_true;
  table[0x89] = &UnpickleMachine::op_false;
  table['I'] = &UnpickleMachine::op_int;
  table['L'] = &UnpickleMachine::op_long;
  table['F'] = &UnpickleMachine::op_float;
  table['J'] = &UnpickleMachine::op_binint;
  table['K'] = &UnpickleMachine::op_binint1;
  table['M'] = &UnpickleMachine::op_binint2;
  table[0x8a] = &UnpickleMachine::op_long1;
  table[0x8b] = &UnpickleMachine::op_long4;
  table['G'] = &UnpickleMachine::op_binfloat;
  table['S'] = &UnpickleMachine::op_string;
  table['T'] = &UnpickleMachine::op_binstring;
  table['U'] = &UnpickleMachine::op_counted_string<std::uint8_t>;
  table['V'] = &UnpickleMachine::op_unicode;
  table[0x8c] = &UnpickleMachine::op_counted_string<std::uint8_t>;
  table['X'] = &UnpickleMachine::op_counted_string<std::uint32_t>;
  table[0x8d] = &UnpickleMachine::op_counted_string<std::uint64_t>;
  table['C'] = &UnpickleMachine::op_counted_bytes<std::uint8_t>;
  table['B'] = &UnpickleMachine::op_counted_bytes<std::uint32_t>;
  table[0x8e] = &UnpickleMachine::op_counted_bytes<std::uint64_t>;
  table[0x96] = &UnpickleMachine::op_bytearray;
}

}  // namespace compat
