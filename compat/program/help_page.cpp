#include "compat/program/help_page.h"

#include <algorithm>
#include <ostream>
#include <sstream>

#include "compat/base/concat.h"

namespace compat {
namespace {

constexpr std::size_t kWidth = 100;

/// `text` broken into lines at spaces. Further lines are indented.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t first_column) {
  std::string out;
  std::size_t column = first_column;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > indent && column + 1 + word.size() > kWidth) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

/// Writes `left` in the left column and `help` in the right one.
void print_entry(const std::string& left, const std::string& help, std::ostream& out) {
  constexpr std::size_t kIndent = 32;
  if (left.size() + 2 > kIndent)
    out << left << "\n" << std::string(kIndent, ' ');
  else
    out << left << std::string(kIndent - left.size(), ' ');
  out << wrapped(help, kIndent, kIndent) << "\n";
}

void print_flag(const Flag& flag, std::ostream& out) {
  std::string left = "  ";
  for (const std::string& name : split_names(flag.names))
    left += (left.size() > 2 ? ", " : "") + dashed(name);
  if (!flag.value_name.empty())
    left += flag.optional_value ? " [" + flag.value_name + "]" : " " + flag.value_name;
  print_entry(
      left, flag.help + (flag.default_text.empty() ? "" : " (default: " + flag.default_text + ")"),
      out);
}

}  // namespace

void print_help(const CommandSpec& spec, std::ostream& out) {
  out << "usage: " << spec.program;
  for (const Positional& positional : spec.positionals)
    out << (positional.optional ? " [" : " ") << positional.name
        << (positional.rest != nullptr ? "..." : "") << (positional.optional ? "]" : "");
  out << " [flags]";
  if (spec.after_dashes.rest != nullptr) out << " [-- " << spec.after_dashes.name << "]";
  out << "\n\n" << wrapped(spec.summary, 0, 0) << "\n";
  if (!spec.positionals.empty()) out << "\n";
  for (const Positional& positional : spec.positionals)
    print_entry("  " + positional.name, positional.help, out);
  if (spec.after_dashes.rest != nullptr)
    print_entry("  " + spec.after_dashes.name, spec.after_dashes.help, out);
  for (const FlagGroup& group : spec.groups) {
    out << "\n" << group.title << ":\n";
    for (const Flag& flag : group.flags) print_flag(flag, out);
  }
  if (spec.foreign.empty()) return;
  std::string names;
  for (const ForeignFlag& flag : spec.foreign)
    if (!flag.refused) append_item(names, dashed(split_names(flag.names).front()));
  if (!names.empty()) out << "\nAccepted without effect:\n  " << wrapped(names, 2, 2) << "\n";
}

void print_commands(std::string_view label, const Command& group, const OtherProgram& other,
                    std::ostream& out) {
  out << "usage: " << label << " COMMAND ...\n\n"
      << (group.about.empty() ? group.summary : group.about) << "\n\n";
  std::size_t width = 14;
  for (const Command& command : group.subcommands) width = std::max(width, command.name.size() + 2);
  for (const Command& command : group.subcommands)
    out << "  " << command.name << std::string(width - command.name.size(), ' ') << command.summary
        << "\n";
  out << "\n'" << label << " COMMAND --help' lists the flags of a command.\n";
  if (!other.commands.empty())
    out << "The program " << other.name << " has these commands: " << join(other.commands, ", ")
        << ".\n";
  out.flush();
}

}  // namespace compat
