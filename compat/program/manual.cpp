#include "compat/program/manual.h"

#include <algorithm>
#include <filesystem>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/version.h"
#include "compat/io/atomic_file.h"
#include "compat/program/help_page.h"

namespace compat {
namespace {

/// `text` as roff prints it: signs that it would replace or obey are named. One line.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '\'')
      out += "\\(aq";
    else if (c == '"')
      out += "\\(dq";
    else if (c == '`')
      out += "\\(ga";
    else if (c == '^')
      out += "\\(ha";
    else if (c == '~')
      out += "\\(ti";
    else if (c == '\n')
      out += ' ';
    else
      out += c;
  }
  return out.starts_with('.') ? "\\&" + out : out;
}

/// "btm cluster train" as the name of a page.
std::string page_name(std::string_view label) {
  std::string name(label);
  std::ranges::replace(name, ' ', '-');
  return name;
}

std::string header(std::string_view label, std::string_view summary) {
  std::string title = page_name(label);
  std::ranges::transform(title, title.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return concat(".TH ", roff(title), " 1 \"", program_date(), "\" \"btm ", program_version(),
                "\" \"Branch\\-Train\\-Merge\"\n.nh\n.ad l\n.SH NAME\n", roff(page_name(label)),
                " \\- ", roff(summary), '\n');
}

/// Lets a line end after the commas of "{a,b,c}".
std::string with_breaks(std::string term) {
  const std::size_t brace = term.find('{');
  for (std::size_t at = term.size(); brace != term.npos && at-- > brace;)
    if (term[at] == ',') term.insert(at + 1, "\\:");
  return term;
}

/// An entry of a list: a bold term, its explanation.
std::string entry(std::string_view term, std::string_view text) {
  return concat(".TP\n.B ", with_breaks(roff(term)), "\n", text.empty() ? "\\&" : roff(text), '\n');
}

/// "SEE ALSO" with the pages named, in this order.
std::string references(const std::vector<std::string>& labels) {
  return concat(
      ".SH SEE ALSO\n",
      join(labels, ",\n",
           [](const std::string& label) { return concat(".BR ", roff(page_name(label)), " (1)"); }),
      '\n');
}

std::string status_section() {
  return concat(".SH EXIT STATUS\n", entry("0", "The work is done, or help was shown."),
                entry("1",
                      "It failed; one line on standard error says which file, what was found "
                      "and what was expected."),
                entry("2", "The command line is not valid."));
}

/// The page of a program or a group.
std::string commands_page(const std::string& label, std::string_view summary,
                          std::string_view about, std::span<const Command> commands,
                          std::vector<std::string> others) {
  std::string page =
      concat(header(label, summary), ".SH SYNOPSIS\n.B ", roff(label),
             "\n.I COMMAND\n\\&...\n.SH DESCRIPTION\n", roff(about), "\n.SH COMMANDS\n");
  for (const Command& command : commands) {
    page += entry(command.name, concat(command.summary, '.'));
    others.push_back(concat(label, ' ', command.name));
  }
  return page + status_section() + references(others);
}

std::string synopsis(const CommandSpec& spec) {
  std::string usage = usage_of(spec);
  usage.erase(0, spec.program.size());
  return concat(".SH SYNOPSIS\n.B ", roff(spec.program), "\n", roff(usage.substr(1)), '\n');
}

std::string command_page(const std::string& label, const Command& command,
                         const std::string& parent) {
  const CommandSpec spec = command.spec();
  std::string page = concat(header(label, command.summary), synopsis(spec), ".SH DESCRIPTION\n",
                            roff(spec.summary), '\n');
  if (!spec.positionals.empty()) page += ".SH ARGUMENTS\n";
  for (const Positional& positional : spec.positionals)
    page += entry(positional.name, positional.help);
  if (spec.after_dashes.rest != nullptr)
    page += entry("-- " + spec.after_dashes.name, spec.after_dashes.help);
  page += ".SH FLAGS\n" + entry("--help, -h", "show all flags");
  for (const FlagGroup& group : spec.groups) {
    append(page, ".SS ", roff(group.title), '\n');
    for (const Flag& flag : group.flags) page += entry(shown_names(flag), shown_help(flag));
  }
  if (const auto ignored = names_without_effect(spec); !ignored.empty())
    append(page, ".SH ACCEPTED WITHOUT EFFECT\n", roff(join(ignored, ", ")), '\n');
  return page + status_section() + references({parent});
}

struct ManualCommand {
  const Program& program;
  std::string page, output_dir;
  bool overwrite = false;

  CommandSpec spec() {
    return {concat(program.name, " manual"),
            "Prints a manual page, as man shows it, or writes all of them: man -l reads a file.",
            {},
            {{"Output",
              {flag_text("page", "NAME", page, "the page to print, such as that of a command"),
               flag_text("output-dir", "DIR", output_dir, "write all pages to DIR"),
               flag_overwrite(overwrite)}}},
            {}};
  }
};

}  // namespace

CommandSpec manual_spec(const Program& program) { return ManualCommand{program, {}, {}}.spec(); }

int run_manual(const Program& program, std::span<const std::string> args) {
  ManualCommand command{program, std::string(program.name), {}};
  std::vector<std::string> ignored;
  if (!parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  const auto pages = manual_pages(program);
  if (!command.output_dir.empty()) {
    check_can_write_in(command.output_dir);
    const std::filesystem::path folder = command.output_dir;
    std::filesystem::create_directories(folder);
    for (const auto& [name, page] : pages) check_new_output(folder / name, command.overwrite);
    for (const auto& [name, page] : pages) write_file_atomically(folder / name, page);
    return 0;
  }
  const auto found =
      std::ranges::find(pages, command.page + ".1", &decltype(pages)::value_type::first);
  if (found == pages.end())
    throw UsageError(concat("flag --page: '", printable(command.page), "', expected one of ",
                            join(pages, ", ", [](const auto& page) {
                              return std::string_view(page.first).substr(0, page.first.size() - 2);
                            })));
  std::cout << found->second;
  return 0;
}

std::vector<std::pair<std::string, std::string>> manual_pages(const Program& program) {
  const std::string name(program.name);
  std::vector<std::string> others;
  if (!program.other.name.empty()) others.emplace_back(program.other.name);
  std::string summary(program.summary.substr(0, program.summary.find('.')));
  std::vector<std::pair<std::string, std::string>> pages{
      {name + ".1",
       commands_page(name, summary, program.summary, program.commands, std::move(others))}};
  for_each_command(program.commands, [&](const std::string& path, const Command& command) {
    const std::string label = concat(name, ' ', path);
    const std::string parent = label.substr(0, label.rfind(' '));
    pages.emplace_back(page_name(label) + ".1",
                       command.spec != nullptr
                           ? command_page(label, command, parent)
                           : commands_page(label, command.summary,
                                           command.about.empty() ? command.summary : command.about,
                                           command.subcommands, {parent}));
  });
  return pages;
}

}  // namespace compat
