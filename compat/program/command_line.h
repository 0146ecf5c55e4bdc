// Command lines as fairseq's argparse reads them, from tables of flags. Shared by btm and
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

/// One flag. `apply` takes the value's text ("" for a flag without value) and throws UsageError
/// saying what was expected.
struct Flag {
  std::string
      names;  ///< "batch-size,max-sentences,b": the first is shown, single letters are short flags
  std::string value_name;  ///< "N"; empty: the flag takes no value
  std::string help;
  std::string default_text;  ///< shown as (default: ...); empty: nothing
  std::function<void(const std::string& value)> apply;
  std::string implicit_value =
      {};  ///< the value where none follows (argparse's nargs='?'); only if optional_value
  bool optional_value = false;
};

// Flags over a field. The default shown is the field's value when the table is made, so help cannot
// drift.
Flag flag_text(std::string names, std::string value_name, std::string& field, std::string help);
Flag flag_integer(std::string names, std::string value_name, std::int64_t& field, std::string help,
                  std::int64_t lowest = INT64_MIN, std::string default_text = {});
/// A number from `lowest` to `highest`, both included.
Flag flag_real(std::string names, std::string value_name, double& field, std::string help,
               double lowest, double highest, std::string default_text = {});
Flag flag_switch(std::string names, bool& field, std::string help);
Flag flag_choice(std::string names, std::string& field, std::vector<std::string> choices,
                 std::string help);

/// The value of a flag as a number, which is finite. UsageError "'x', expected an integer" (a
/// number).
std::int64_t parse_integer(std::string_view text);
double parse_real(std::string_view text);

struct FlagGroup {
  std::string title;
  std::vector<Flag> flags;
};

/// A flag of fairseq that has no effect here, or that would change results and is refused.
struct ForeignFlag {
  std::string_view names;
  bool takes_value = false;
  bool refused = false;
};

struct Positional {
  std::string name, help;
  std::string* field = nullptr;
  std::vector<std::string>* rest =
      nullptr;  ///< Instead of `field`, of the last one only: all that are left, one at least.
};

struct CommandSpec {
  std::string program;                  ///< "btm eval-lm"
  std::string summary;                  ///< a sentence or two
  std::vector<Positional> positionals;  ///< all required
  std::vector<FlagGroup> groups;
  std::span<const ForeignFlag> foreign;
};

/// Applies `args` to the fields. The last use of a repeated flag wins, abbreviations are not
/// accepted, `--name value` and
/// `--name=value` are equal, a negative number is a value, flags may stand anywhere. Foreign flags
/// are named in `ignored`. False when --help was asked for: it has been printed to `out`.
/// UsageError on anything else.
bool parse_command_line(const CommandSpec& spec, std::span<const std::string> args,
                        std::ostream& out, std::vector<std::string>& ignored);

struct Command {
  std::string_view name, summary;
  int (*run)(std::span<const std::string> args);
};

/// main() of a program of several commands: help, --version, the nearest name for a mistyped
/// command, and the one place where errors become a line on stderr and an exit status (2 for usage,
/// 1 for the rest).
int run_program(std::string_view program, std::string_view summary,
                std::span<const Command> commands, int argc, char** argv);

/// A command that has commands of its own: runs the one that `args` begin with, or prints help.
/// UsageError that tells them all.
int run_subcommand(std::string_view program, std::string_view summary,
                   std::span<const Command> commands, std::span<const std::string> args);

/// Of `names` the one that is closest to `typed`, or "" when none is near.
std::string nearest_name(std::string_view typed, std::span<const std::string> names);

}  // namespace compat
