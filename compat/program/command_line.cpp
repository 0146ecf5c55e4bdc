#include "compat/program/command_line.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <cmath>
#include <csignal>
#include <exception>
#include <filesystem>
#include <iostream>
#include <map>
#include <new>
#include <sstream>
#include <stdexcept>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/version.h"
#include "compat/io/lost_files.h"
#include "compat/program/console.h"
#include "compat/program/programs.h"
#include "compat/program/signals.h"

namespace compat {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kWidth = 100;
constexpr const char* kPositionals =
    " arguments";  ///< Program_options needs a name. No user can type this one.

std::vector<std::string> split_names(std::string_view names) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= names.size();) {
    const std::size_t comma = std::min(names.find(',', from), names.size());
    parts.emplace_back(names.substr(from, comma - from));
    from = comma + 1;
  }
  return parts;
}

std::string dashed(const std::string& name) { return (name.size() == 1 ? "-" : "--") + name; }

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

void print_help(const CommandSpec& spec, std::ostream& out) {
  out << "usage: " << spec.program;
  for (const Positional& positional : spec.positionals)
    out << " " << positional.name << (positional.rest != nullptr ? "..." : "");
  out << " [flags]\n\n" << wrapped(spec.summary, 0, 0) << "\n";
  if (!spec.positionals.empty()) out << "\n";
  for (const Positional& positional : spec.positionals)
    print_entry("  " + positional.name, positional.help, out);
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

/// The flag to which a name belongs: `flag`, or `foreign`.
struct FlagTarget {
  const Flag* flag = nullptr;
  const ForeignFlag* foreign = nullptr;
};

std::map<std::string, FlagTarget> known_flags(const CommandSpec& spec) {
  std::map<std::string, FlagTarget> known;
  for (const FlagGroup& group : spec.groups)
    for (const Flag& flag : group.flags)
      for (const std::string& name : split_names(flag.names)) known[name].flag = &flag;
  for (const ForeignFlag& flag : spec.foreign)
    for (const std::string& name : split_names(flag.names))
      if (known[name].flag == nullptr) known[name].foreign = &flag;
  return known;
}

po::options_description describe(const std::map<std::string, FlagTarget>& known) {
  po::options_description description;
  description.add_options()("help,h", "");
  for (const auto& [name, target] : known) {
    // Program_options needs a long form ("name,x") for a single letter. No user can type this one.
    const std::string key = name.size() == 1 ? " " + name + "," + name : name;
    const bool has_value =
        target.flag != nullptr ? !target.flag->value_name.empty() : target.foreign->takes_value;
    if (!has_value) {
      description.add_options()(key.c_str(), "");
      continue;
    }
    auto* value = po::value<std::string>();
    if (target.flag != nullptr && target.flag->optional_value)
      value->implicit_value(target.flag->implicit_value);
    description.add_options()(key.c_str(), value, "");
  }
  description.add_options()(kPositionals, po::value<std::vector<std::string>>(), "");
  return description;
}

std::vector<std::string> names_of(const std::map<std::string, FlagTarget>& known) {
  std::vector<std::string> names{"help"};
  for (const auto& [name, target] : known) names.push_back(name);
  return names;
}

/// Parses with Program_options and replaces its error messages.
po::parsed_options parse(const std::map<std::string, FlagTarget>& known,
                         std::span<const std::string> args) {
  const po::options_description description = describe(known);
  const po::positional_options_description positionals =
      po::positional_options_description().add(kPositionals, -1);
  // Abbreviations are refused, as in fairseq (allow_abbrev=False).
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    return po::command_line_parser(std::vector<std::string>(args.begin(), args.end()))
        .options(description)
        .positional(positionals)
        .style(style)
        .run();
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.erase(0, name.find_first_not_of('-'));
    const std::string near = nearest_name(name, names_of(known));
    throw UsageError("unknown flag '" + printable(error.get_option_name()) + "'" +
                     (near.empty() ? " (see --help)" : ", did you mean " + dashed(near) + "?"));
  } catch (const po::invalid_command_line_syntax& error) {
    std::string name = printable(error.get_option_name());
    if (error.kind() == po::invalid_syntax::extra_parameter)
      throw UsageError("flag " + name + " takes no value");
    throw UsageError("flag " + name + " needs a value");
  } catch (const po::error& error) {
    throw UsageError(printable(error.what(), 200));
  }
}

void apply_flag(const std::string& name, const FlagTarget& target, const std::string& value,
                std::vector<std::string>& ignored) {
  if (target.foreign != nullptr) {
    if (target.foreign->refused) throw UsageError("flag " + dashed(name) + " is not supported");
    ignored.push_back(dashed(name));
    return;
  }
  try {
    target.flag->apply(value);
  } catch (const UsageError& error) {
    throw UsageError("flag " + dashed(name) + ": " + error.what());
  }
}

}  // namespace

std::int64_t parse_integer(std::string_view text) {
  if (const auto number = number_of<std::int64_t>(text)) return *number;
  throw UsageError(concat("'", printable(text), "', expected an integer"));
}

double parse_real(std::string_view text) {
  const auto number = number_of<double>(text);
  if (!number || !std::isfinite(*number))
    throw UsageError(concat("'", printable(text), "', expected a number"));
  return *number;
}

Flag flag_text(std::string names, std::string value_name, std::string& field, std::string help) {
  return {std::move(names), std::move(value_name), std::move(help), field,
          [&field](const std::string& value) { field = value; }};
}

Flag flag_integer(std::string names, std::string value_name, std::int64_t& field, std::string help,
                  std::int64_t lowest, std::string default_text) {
  if (default_text.empty()) default_text = std::to_string(field);
  return {std::move(names), std::move(value_name), std::move(help), std::move(default_text),
          [&field, lowest](const std::string& value) {
            const std::int64_t number = parse_integer(value);
            if (number < lowest) throw UsageError(concat(value, ", expected at least ", lowest));
            field = number;
          }};
}

Flag flag_real(std::string names, std::string value_name, double& field, std::string help,
               double lowest, double highest, std::string default_text) {
  if (default_text.empty()) default_text = general(field);
  return {std::move(names), std::move(value_name), std::move(help), std::move(default_text),
          [&field, lowest, highest](const std::string& value) {
            const auto number = number_of<double>(value);
            if (!number || !(*number >= lowest && *number <= highest))
              throw UsageError(concat("'", printable(value), "', expected a number from ",
                                      general(lowest), " to ", general(highest)));
            field = *number;
          }};
}

Flag flag_switch(std::string names, bool& field, std::string help) {
  return {
      std::move(names), {}, std::move(help), {}, [&field](const std::string&) { field = true; }};
}

Flag flag_choice(std::string names, std::string& field, std::vector<std::string> choices,
                 std::string help) {
  return {std::move(names), concat('{', join(choices, ","), '}'), std::move(help), field,
          [&field, choices = std::move(choices)](const std::string& value) {
            if (std::ranges::find(choices, value) == choices.end())
              throw UsageError(
                  concat("'", printable(value), "', expected one of ", join(choices, ", ")));
            field = value;
          }};
}

bool parse_command_line(const CommandSpec& spec, std::span<const std::string> args,
                        std::ostream& out, std::vector<std::string>& ignored) {
  const auto known = known_flags(spec);
  const po::parsed_options parsed = parse(known, args);
  std::vector<std::string> positionals;
  std::map<std::string, std::string> last;  // by flag: the last use counts
  std::vector<std::string> order;
  for (const auto& option : parsed.options) {
    if (option.position_key >= 0) {
      positionals.insert(positionals.end(), option.value.begin(), option.value.end());
      continue;
    }
    std::string name = option.string_key;
    name.erase(0, name.find_first_not_of(" -"));
    if (name == "help") {
      print_help(spec, out);
      return false;
    }
    // Aliases share a flag, so the last use of any of them counts.
    const FlagTarget& target = known.at(name);
    const std::string key = target.flag != nullptr ? split_names(target.flag->names).front() : name;
    if (!last.contains(key)) order.push_back(key);
    last[key] = option.value.empty() ? (target.flag != nullptr ? target.flag->implicit_value : "")
                                     : option.value.back();
  }
  for (std::size_t i = 0; i < spec.positionals.size(); ++i) {
    if (i >= positionals.size())
      throw UsageError("missing " + spec.positionals[i].name + " (usage: " + spec.program + " " +
                       spec.positionals[i].name + " ...; see --help)");
    if (spec.positionals[i].rest == nullptr) {
      *spec.positionals[i].field = positionals[i];
      continue;
    }
    spec.positionals[i].rest->assign(positionals.begin() + static_cast<std::ptrdiff_t>(i),
                                     positionals.end());
    positionals.resize(i + 1);
  }
  if (positionals.size() > spec.positionals.size())
    throw UsageError("unexpected argument '" + printable(positionals[spec.positionals.size()]) +
                     "'");
  for (const std::string& name : order) apply_flag(name, known.at(name), last[name], ignored);
  return true;
}

std::string nearest_name(std::string_view typed, std::span<const std::string> names) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, typed.size() / 3) + 1;
  if (typed.size() > 100) return best;
  for (const std::string& name : names) {
    // Levenshtein distance, one row at a time.
    std::vector<std::size_t> row(name.size() + 1);
    for (std::size_t j = 0; j <= name.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= typed.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= name.size(); ++j) {
        const std::size_t changed = diagonal + (typed[i - 1] == name[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = name;
    }
  }
  return best;
}

namespace {

/// `FILE: ACTION: REASON` of "filesystem error: ACTION: REASON [FILE] [OTHER]".
std::string plain_message(const std::filesystem::filesystem_error& error) {
  std::string_view action = error.what();
  constexpr std::string_view kPrefix = "filesystem error: ";
  if (action.starts_with(kPrefix)) action.remove_prefix(kPrefix.size());
  const std::string reason = error.code().message();
  action = action.substr(0, action.find(": " + reason));
  const std::string path = error.path1().string();
  return (path.empty() ? "an empty path" : printable(path, 4096)) + ": " + std::string(action) +
         ": " + reason;
}

int run_command(const std::string& label, int (*run)(std::span<const std::string>),
                std::span<const std::string> args) {
  const auto report = [&](std::string_view message, int status) {
    // LibTorch's messages are pages long. The first line states the problem.
    std::cout.flush();
    std::cerr << label << ": error: " << message.substr(0, message.find('\n')) << std::endl;
    return status;
  };
  report_lost_files(label);
  try {
    const int status = run(args);
    std::cout.flush();
    if (!std::cout) return report("standard output: cannot write", 1);
    return status;
  } catch (const UsageError& error) {
    return report(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return report("out of memory", 1);
  } catch (const std::filesystem::filesystem_error& error) {
    return report(plain_message(error), 1);
  } catch (
      const std::logic_error& error) {  // thrown by the standard library: no input should cause it
    return report(std::string("internal error: ") + error.what(), 1);
  } catch (const std::exception& error) {
    const std::string_view message = error.what();
    return report(
        (message.starts_with("[json.exception") ? "internal error: " : "") + std::string(message),
        1);
  }
}

void print_commands(std::string_view program, std::string_view summary,
                    std::span<const Command> commands) {
  std::cout << "usage: " << program << " COMMAND ...\n\n" << summary << "\n\n";
  std::size_t width = 14;
  for (const Command& command : commands) width = std::max(width, command.name.size() + 2);
  for (const Command& command : commands)
    std::cout << "  " << command.name << std::string(width - command.name.size(), ' ')
              << command.summary << "\n";
  std::cout << "\n'" << program << " COMMAND --help' lists the flags of a command." << std::endl;
}

void print_other_program(const OtherProgram& other_program) {
  if (other_program.commands.empty()) return;
  std::cout << "The program " << other_program.name
            << " has these commands: " << join(other_program.commands, ", ") << "." << std::endl;
}

/// The end of the message for an unknown command: the command that was perhaps meant.
std::string suggestion(const std::string& wanted, std::span<const std::string> names,
                       const OtherProgram& other_program) {
  const std::vector<std::string> others(other_program.commands.begin(),
                                        other_program.commands.end());
  const std::string own = nearest_name(wanted, names), other = nearest_name(wanted, others);
  if (other == wanted && !wanted.empty())
    return ", it is a command of " + std::string(other_program.name) + ": " +
           std::string(other_program.name) + " " + other;
  if (!own.empty()) return ", did you mean " + own + "?";
  if (!other.empty())
    return ", did you mean " + std::string(other_program.name) + " " + other + "?";
  return " (see --help)";
}

bool asks_for_help(std::string_view arg) { return arg == "--help" || arg == "-h" || arg == "help"; }

/// The exit status after printing help or the version.
int output_status(std::string_view program) {
  if (std::cout) return 0;
  std::cerr << program << ": error: standard output: cannot write" << std::endl;
  return 1;
}

}  // namespace

int run_program(std::string_view program, std::string_view summary,
                std::span<const Command> commands, int argc, char** argv,
                const OtherProgram& other_program) {
  escape_console_output();
  remove_temporaries_on_signals();
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond ulimit -f is an error, like a full disk
  std::vector<std::string> args(argv + 1, argv + argc);
  const std::string name = args.empty() ? "--help" : args.front();
  if (name == "--version") {
    std::cout << program << " " << program_version() << std::endl;
    return output_status(program);
  }
  const bool help = asks_for_help(name);
  if (help && args.size() < 2) {
    print_commands(program, summary, commands);
    print_other_program(other_program);
    return output_status(program);
  }
  const std::string wanted = help ? args[1] : name;
  const std::vector<std::string> rest =
      help ? std::vector<std::string>{"--help"}
           : std::vector<std::string>(args.begin() + 1, args.end());
  std::vector<std::string> names;
  for (const Command& command : commands) {
    if (command.name == wanted)
      return run_command(std::string(program) + " " + wanted, command.run, rest);
    names.emplace_back(command.name);
  }
  std::cerr << program << ": error: unknown command '" << printable(wanted) << "'"
            << suggestion(wanted, names, other_program) << std::endl;
  return 2;
}

int run_program(std::string_view program, std::string_view summary,
                std::span<const Command> commands, int argc, char** argv) {
  return run_program(program, summary, commands, argc, argv, {});
}

int run_subcommand(std::string_view program, std::string_view summary,
                   std::span<const Command> commands, std::span<const std::string> args) {
  if (!args.empty() && asks_for_help(args[0])) {
    print_commands(program, summary, commands);
    return 0;
  }
  std::string names;
  for (const Command& command : commands) {
    if (!args.empty() && command.name == args[0]) return command.run(args.subspan(1));
    names += (names.empty()                  ? ""
              : &command == &commands.back() ? " or "
                                             : ", ") +
             std::string(command.name);
  }
  throw UsageError(
      (args.empty() ? "a command is missing" : "no command '" + printable(args[0]) + "'") +
      ", expected " + names);
}

}  // namespace compat
