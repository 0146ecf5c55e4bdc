#include "btm/run/plan_file.h"

#include <algorithm>

#include "compat/base/concat.h"

namespace btm {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

/// Without a comment: '#' at the start or after a blank.
std::string_view without_comment(std::string_view line) {
  for (std::size_t at = line.find('#'); at != std::string_view::npos; at = line.find('#', at + 1))
    if (at == 0 || kBlank.find(line[at - 1]) != std::string_view::npos) return line.substr(0, at);
  return line;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

class Parser {
 public:
  explicit Parser(const std::string& file) : file_(file) {}

  void add(std::string_view line) {
    ++number_;
    const std::size_t bad = compat::first_invalid_utf8(line);
    if (bad != std::string_view::npos) fail(compat::concat("byte ", bad + 1, " is not UTF-8"));
    line = trimmed(without_comment(line));
    if (line.empty()) return;
    if (line.front() == '[')
      open_section(line);
    else
      add_entry(line);
  }

  std::vector<PlanSection> take() { return std::move(sections_); }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw plan_error(file_, number_, problem);
  }

  void open_section(std::string_view line) {
    if (line.back() != ']')
      fail("'" + compat::printable(line) + "', expected ']' at the end of a section's name");
    PlanSection section{std::string(trimmed(line.substr(1, line.size() - 2))), number_, {}};
    if (!is_name(section.kind))
      fail("'" + compat::printable(line) +
           "', expected [section], of letters, digits, '_', '-' and '.'");
    for (const PlanSection& other : sections_)
      if (other.kind == section.kind)
        fail(compat::concat("section [", section.kind, "] was given before, on line ", other.line));
    sections_.push_back(std::move(section));
  }

  void add_entry(std::string_view line) {
    const std::size_t equals = line.find('=');
    const std::string_view key = trimmed(line.substr(0, std::min(equals, line.size())));
    if (equals == std::string_view::npos || !is_name(key))
      fail("'" + compat::printable(line) + "', expected key = value");
    if (sections_.empty()) fail("'" + compat::printable(key) + "' comes before the first section");
    for (const PlanEntry& other : sections_.back().entries)
      if (other.key == key)
        fail(compat::concat("'", key, "' was given before, on line ", other.line));
    sections_.back().entries.push_back(
        {std::string(key), std::string(trimmed(line.substr(equals + 1))), number_});
  }

  const std::string& file_;
  std::int64_t number_ = 0;
  std::vector<PlanSection> sections_;
};

}  // namespace

compat::FormatError plan_error(const std::string& file, std::int64_t line,
                               const std::string& problem) {
  return compat::FormatError({file, compat::concat("line ", line), {}}, problem);
}

std::vector<PlanSection> parse_plan_file(std::string_view text, const std::string& file) {
  Parser parser(file);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    parser.add(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parser.take();
}

}  // namespace btm
