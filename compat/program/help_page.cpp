#include "compat/program/help_page.h"

#include <algorithm>
#include <ostream>
#include <set>
#include <sstream>

#include "compat/base/concat.h"

namespace compat {
namespace {

/// Text in lines of `width` columns; a right column begins at `indent`.
struct Page {
  std::size_t width;
  std::size_t indent = width >= 96 ? 32 : width >= 72 ? 26 : 8;
  std::ostream& out;

  /// `text` broken into lines at spaces. Further lines are indented.
  void wrapped(const std::string& text, std::size_t left, std::size_t first_column) const;
  /// `left`, broken after commas of "{a,b,c}" where it is longer than a line. Returns the column
  /// behind it.
  std::size_t choices(const std::string& left) const;
  /// `left` in the left column and `help` in the right one.
  void entry(const std::string& left, const std::string& help) const;
};

void Page::wrapped(const std::string& text, std::size_t left, std::size_t first_column) const {
  std::size_t column = first_column;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > left && column + 1 + word.size() > width) {
      out << "\n" << std::string(left, ' ');
      column = left;
    } else if (column > left) {
      out << ' ';
      ++column;
    }
    out << word;
    column += word.size();
  }
  out << "\n";
}

void Page::entry(const std::string& left, const std::string& help) const {
  const std::size_t last = choices(left);
  if (last + 2 > indent)
    out << "\n" << std::string(indent, ' ');
  else
    out << std::string(indent - last, ' ');
  wrapped(help, indent, indent);
}

std::size_t Page::choices(const std::string& left) const {
  const std::size_t brace = left.find('{');
  std::size_t column = 0;
  for (std::size_t at = 0; at < left.size();) {
    // Up to the first choice, then choice by choice.
    const std::size_t comma = brace == left.npos ? brace : left.find(',', std::max(at, brace));
    const std::size_t end = comma == left.npos ? left.size() : comma + 1;
    if (at > 0 && column + end - at > width) {
      out << "\n" << std::string(brace + 1, ' ');
      column = brace + 1;
    }
    out << left.substr(at, end - at);
    column += end - at;
    at = end;
  }
  return column;
}

}  // namespace

std::string shown_names(const Flag& flag) {
  std::string names = join(split_names(flag.names), ", ", dashed);
  if (!flag.value_name.empty())
    names += flag.optional_value ? concat(" [", flag.value_name, ']') : ' ' + flag.value_name;
  return names;
}

std::string shown_help(const Flag& flag) {
  return flag.default_text.empty() ? flag.help
                                   : concat(flag.help, " (default: ", flag.default_text, ')');
}

std::string usage_of(const CommandSpec& spec) {
  std::string usage = spec.program;
  for (const Positional& positional : spec.positionals)
    append(usage, positional.optional ? " [" : " ", positional.name,
           positional.rest != nullptr ? "..." : "", positional.optional ? "]" : "");
  usage += " [flags]";
  if (spec.after_dashes.rest != nullptr) append(usage, " [-- ", spec.after_dashes.name, ']');
  return usage;
}

std::vector<std::string> names_without_effect(const CommandSpec& spec) {
  std::set<std::string> with_effect;  // a command may have a flag that others ignore
  for (const FlagGroup& group : spec.groups)
    for (const Flag& flag : group.flags)
      for (std::string& name : split_names(flag.names)) with_effect.insert(std::move(name));
  std::vector<std::string> names;
  for (const ForeignFlag& flag : spec.foreign)
    if (const std::string name = split_names(flag.names).front();
        !flag.refused && !with_effect.contains(name))
      names.push_back(dashed(name));
  return names;
}

void print_help(const CommandSpec& spec, std::size_t width, std::ostream& out) {
  const Page page{.width = width, .out = out};
  out << "usage: ";
  page.wrapped(usage_of(spec), 7, 7);
  out << "\n";
  page.wrapped(spec.summary, 0, 0);
  if (!spec.positionals.empty()) out << "\n";
  for (const Positional& positional : spec.positionals)
    page.entry("  " + positional.name, positional.help);
  if (spec.after_dashes.rest != nullptr)
    page.entry("  " + spec.after_dashes.name, spec.after_dashes.help);
  for (const FlagGroup& group : spec.groups) {
    out << "\n" << group.title << ":\n";
    for (const Flag& flag : group.flags) page.entry("  " + shown_names(flag), shown_help(flag));
  }
  const std::string ignored = join(names_without_effect(spec), ", ");
  if (ignored.empty()) return;
  out << "\nAccepted without effect:\n  ";
  page.wrapped(ignored, 2, 2);
}

void print_commands(std::string_view label, const Command& group, const OtherProgram& other,
                    std::size_t width, std::ostream& out) {
  std::size_t column = 16;
  for (const Command& command : group.subcommands)
    column = std::max(column, command.name.size() + 4);
  const Page page{.width = width, .indent = column, .out = out};
  out << "usage: " << label << " COMMAND ...\n\n";
  page.wrapped(std::string(group.about.empty() ? group.summary : group.about), 0, 0);
  out << "\n";
  for (const Command& command : group.subcommands)
    page.entry(concat("  ", command.name), std::string(command.summary));
  out << "\n";
  page.wrapped(concat("'", label, " COMMAND --help' lists the flags of a command."), 0, 0);
  if (!other.commands.empty())
    page.wrapped(concat("The program ", other.name,
                        " has these commands: ", join(other.commands, ", "), "."),
                 0, 0);
  out.flush();
}

}  // namespace compat
