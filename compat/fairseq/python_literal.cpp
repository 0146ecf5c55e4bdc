// parse_python_literal() of compat/fairseq/config.h.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/fairseq/config.h"

namespace compat {
namespace {

constexpr int kMaxLiteralDepth = 64;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  ConfigValue parse() {
    ConfigValue value = parse_value(0);
    skip_space();
    if (at_ < text_.size()) fail("the end");
    return value;
  }

 private:
  [[noreturn]] void fail(std::string_view expected) const {
    const std::string found =
        at_ < text_.size() ? "'" + printable(text_.substr(at_, 1)) + "'" : "the end";
    throw UsageError(concat("'", printable(text_, 200), "', column ", at_ + 1, ": found ", found,
                            ", expected ", expected));
  }
  void skip_space() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool accept_word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    const std::size_t end = at_ + word.size();
    if (end < text_.size() &&
        (std::isalnum(static_cast<unsigned char>(text_[end])) != 0 || text_[end] == '_'))
      return false;
    at_ = end;
    return true;
  }

  ConfigValue parse_value(int depth);
  ConfigValue parse_sequence(char close, int depth);
  ConfigValue parse_dict(int depth);
  ConfigValue parse_number();
  std::string parse_string();
  void parse_escape(std::string& out);

  std::string_view text_;
  std::size_t at_ = 0;
};

ConfigValue Parser::parse_value(int depth) {
  if (depth > kMaxLiteralDepth) fail("less nesting");
  skip_space();
  if (at_ >= text_.size()) fail("a value");
  if (accept('{')) return parse_dict(depth);
  if (accept('[')) return parse_sequence(']', depth);
  if (accept('(')) return parse_sequence(')', depth);
  const char c = text_[at_];
  if (c == '\'' || c == '"') {
    std::string out;
    do out += parse_string();
    while (skip_space(), at_ < text_.size() && (text_[at_] == '\'' || text_[at_] == '"'));
    return {std::move(out)};
  }
  if (accept_word("None")) return {};
  if (accept_word("True")) return {true};
  if (accept_word("False")) return {false};
  return parse_number();
}

ConfigValue Parser::parse_sequence(char close, int depth) {
  ConfigValue::List list;
  bool comma = true;
  while (!accept(close)) {
    if (!comma) fail(std::string("',' or '") + close + "'");
    list.push_back(parse_value(depth + 1));
    comma = accept(',');
  }
  if (close == ')' && list.size() == 1 && !comma)
    return std::move(list.front());  // (x) is x, (x,) a tuple
  return {std::move(list)};
}

ConfigValue Parser::parse_dict(int depth) {
  ConfigValue::Dict dict;
  bool comma = true;
  while (!accept('}')) {
    if (!comma) fail("',' or '}'");
    const ConfigValue key = parse_value(depth + 1);
    if (std::holds_alternative<ConfigValue::List>(key.value) ||
        std::holds_alternative<ConfigValue::Dict>(key.value))
      fail("a string as key");
    if (!accept(':')) fail("':'");
    const std::string name = key.to_text();
    ConfigValue value = parse_value(depth + 1);
    const auto place = std::ranges::find(dict, name, &ConfigValue::Dict::value_type::first);
    if (place == dict.end())
      dict.emplace_back(name, std::move(value));
    else
      place->second = std::move(value);  // of equal keys, the last one counts
    comma = accept(',');
  }
  return {std::move(dict)};
}

ConfigValue Parser::parse_number() {
  const std::size_t start = at_;
  const bool negative = text_[at_] == '-';
  if (negative || text_[at_] == '+') ++at_;
  std::string digits;
  while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                text_[at_] == '.' || text_[at_] == '_' ||
                                ((text_[at_] == '+' || text_[at_] == '-') && !digits.empty() &&
                                 (digits.back() | 0x20) == 'e' && !digits.starts_with("0x")))) {
    if (text_[at_] != '_') digits += text_[at_];
    ++at_;
  }
  const char* const first = digits.data();
  const char* const last = first + digits.size();
  std::int64_t whole = 0;
  const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
  const auto parsed = std::from_chars(first + (hex ? 2 : 0), last, whole, hex ? 16 : 10);
  if (!digits.empty() && parsed.ec == std::errc{} && parsed.ptr == last)
    return {negative ? -whole : whole};
  char* end = nullptr;
  const bool number_like =
      !digits.empty() &&
      (std::isdigit(static_cast<unsigned char>(digits[0])) != 0 || digits[0] == '.');
  const double real = number_like && !hex ? std::strtod(digits.c_str(), &end) : 0;
  if (end != digits.c_str() + digits.size() || end == nullptr) {
    at_ = start;
    fail("a Python literal");
  }
  return {negative ? -real : real};
}

std::string Parser::parse_string() {
  const char quote = text_[at_++];
  std::string out;
  while (true) {
    if (at_ >= text_.size()) fail(std::string("a closing ") + quote);
    const char c = text_[at_++];
    if (c == quote) return out;
    if (c == '\\')
      parse_escape(out);
    else
      out += c;
  }
}

void Parser::parse_escape(std::string& out) {
  if (at_ >= text_.size()) fail("an escape");
  constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
  const char c = text_[at_++];
  if (const auto simple = kLetters.find(c); simple != std::string_view::npos) {
    out += kMeanings[simple];
  } else if (c == 'x' || c == 'u' || c == 'U') {
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    std::uint32_t code = 0;
    const char* const first = text_.data() + at_;
    const char* const last = text_.data() + std::min(text_.size(), at_ + digits);
    const auto [end, error] = std::from_chars(first, last, code, 16);
    if (error != std::errc{} || end != first + digits || code > 0x10FFFF)
      fail(concat(digits, " hexadecimal digits of a character"));
    at_ += digits;
    append_utf8(code, out);
  } else if (c >= '0' && c <= '7') {
    std::uint32_t code = static_cast<std::uint32_t>(c - '0');
    for (int i = 0; i < 2 && at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '7'; ++i)
      code = code * 8 + static_cast<std::uint32_t>(text_[at_++] - '0');
    append_utf8(code, out);
  } else if (c != '\n') {  // an escaped line end is removed

    out += '\\';  // Python keeps an unknown escape
    out += c;
  }
}

}  // namespace

ConfigValue parse_python_literal(std::string_view text) { return Parser(text).parse(); }

}  // namespace compat
