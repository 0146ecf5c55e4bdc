// A configuration value as Python's repr() writes it. python_literal.cpp reads it.
#include <array>
#include <charconv>
#include <cmath>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/fairseq/config.h"

namespace compat {
namespace {

/// repr() of a str. A byte that is not UTF-8 becomes the character of that number.
std::string python_string(std::string_view text) {
  const char quote =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"'
                                                                                            : '\'';
  std::string out(1, quote);
  const auto escape = [&](unsigned char code) { append(out, "\\x", hexadecimal(code, 2)); };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    const std::size_t letter = std::string_view("\n\r\t").find(c);
    if (letter != std::string_view::npos) {
      (out += '\\') += std::string_view("nrt")[letter];
    } else if (c == quote || c == '\\') {
      (out += '\\') += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      escape(byte);
    } else if (byte == 0xC2 && i + 1 < text.size() &&
               static_cast<unsigned char>(text[i + 1]) <= 0xA0) {
      escape(static_cast<unsigned char>(text[++i]));  // U+0080 to U+00A0
    } else if (const std::size_t size = utf8_length(text.substr(i)); size > 0) {
      out += text.substr(i, size);
      i += size - 1;
    } else {
      escape(byte);
    }
  }
  return out + quote;
}

struct ToText {
  std::string operator()(std::monostate) const { return "None"; }
  std::string operator()(bool value) const { return value ? "True" : "False"; }
  std::string operator()(std::int64_t value) const { return concat(value); }
  std::string operator()(double value) const {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    std::array<char, 64> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    std::string out(text.data(), end);
    return out.find_first_of(".e") == std::string::npos ? out + ".0" : out;
  }
  std::string operator()(const std::string& value) const { return value; }
  std::string operator()(const ConfigValue::List& list) const {
    return concat('[', join(list, ", ", quoted), ']');
  }
  std::string operator()(const ConfigValue::Dict& dict) const {
    const auto text_of = [](const auto& item) {
      return concat(python_string(item.first), ": ", quoted(item.second));
    };
    return concat('{', join(dict, ", ", text_of), '}');
  }
  static std::string quoted(const ConfigValue& value) {
    const auto* text = std::get_if<std::string>(&value.value);
    return text != nullptr ? python_string(*text) : value.to_text();
  }
};

}  // namespace

std::string ConfigValue::to_text() const { return std::visit(ToText{}, value); }

}  // namespace compat
