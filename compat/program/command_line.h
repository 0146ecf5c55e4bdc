// Parses command lines as fairseq's argparse does, from tables of flags. Shared by btm and
// btm-convert.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace compat {

/// One flag. `apply` takes the text of the value ("" for a flag without value). It throws a
/// UsageError that says what was expected.
struct Flag {
  std::string names;  ///< "batch-size,max-sentences,b": help shows the first. Single letters are
                      ///< short flags.
  std::string value_name;  ///< "N". Empty when the flag takes no value.
  std::string help;
  std::string default_text;  ///< Shown as (default: ...), unless it is empty.
  std::function<void(const std::string& value)> apply;
  std::string implicit_value =
      {};  ///< The value when none follows (argparse's nargs='?'). Only with optional_value.
  bool optional_value = false;
};

// Flags that set a field. The help shows the field's value at the call as the default.
Flag flag_text(std::string names, std::string value_name, std::string& field, std::string help);
Flag flag_integer(std::string names, std::string value_name, std::int64_t& field, std::string help,
                  std::int64_t lowest = INT64_MIN, std::string default_text = {});
/// A number from `lowest` to `highest`, both inclusive.
Flag flag_real(std::string names, std::string value_name, double& field, std::string help,
               double lowest, double highest, std::string default_text = {});
Flag flag_switch(std::string names, bool& field, std::string help);
Flag flag_choice(std::string names, std::string& field, std::vector<std::string> choices,
                 std::string help);

/// The value of a flag as a finite number. UsageError "'x', expected an integer" (or "a number").
std::int64_t parse_integer(std::string_view text);
double parse_real(std::string_view text);

struct FlagGroup {
  std::string title;
  std::vector<Flag> flags;
};

/// A flag of fairseq that has no effect here, or that would change results and is therefore
/// refused.
struct ForeignFlag {
  std::string_view names;
  bool takes_value = false;
  bool refused = false;
};

struct Positional {
  std::string name, help;
  std::string* field = nullptr;
  std::vector<std::string>* rest = nullptr;  ///< Instead of `field`, for the last one only: takes
                                             ///< all remaining arguments, at least one.
};

struct CommandSpec {
  std::string program;                  ///< "btm eval-lm"
  std::string summary;                  ///< one or two sentences
  std::vector<Positional> positionals;  ///< all required
  std::vector<FlagGroup> groups;
  std::span<const ForeignFlag> foreign;
};

/// Applies `args` to the fields. The last use of a flag counts. Abbreviations are refused. `--name
/// value` and `--name=value` are equal. A negative number is a value. Flags may stand anywhere.
/// Foreign flags are added to `ignored`. Returns false after printing help to `out` for --help.
/// UsageError for all other arguments.
bool parse_command_line(const CommandSpec& spec, std::span<const std::string> args,
                        std::ostream& out, std::vector<std::string>& ignored);

struct Command {
  std::string_view name, summary;
  int (*run)(std::span<const std::string> args);
};

/// The main() of a program with several commands. Handles help and --version, and suggests a name
/// for a mistyped command. It alone turns exceptions into one line on stderr and an exit status: 2
/// for usage, 1 for all others.
int run_program(std::string_view program, std::string_view summary,
                std::span<const Command> commands, int argc, char** argv);

/// Runs the subcommand that `args` begin with, or prints help. UsageError that lists all
/// subcommands.
int run_subcommand(std::string_view program, std::string_view summary,
                   std::span<const Command> commands, std::span<const std::string> args);

/// The closest of `names` to `typed`, or "" when none is close.
std::string nearest_name(std::string_view typed, std::span<const std::string> names);

}  // namespace compat
