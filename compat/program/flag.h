// Flags as data. The parser, --help, the manual page and the completions read the same tables.
#pragma once

#include <cstdint>
#include <functional>
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
  bool repeated = false;  ///< Every use is applied, in order, not the last one alone.
};

// Flags that set a field. The help shows the field's value at the call as the default.
Flag flag_text(std::string names, std::string value_name, std::string& field, std::string help);
Flag flag_integer(std::string names, std::string value_name, std::int64_t& field, std::string help,
                  std::int64_t lowest = INT64_MIN, std::string default_text = {});
/// A number from `lowest` to `highest`, both inclusive.
Flag flag_real(std::string names, std::string value_name, double& field, std::string help,
               double lowest, double highest, std::string default_text = {});
/// Every use adds a text.
Flag flag_texts(std::string names, std::string value_name, std::vector<std::string>& field,
                std::string help);
Flag flag_switch(std::string names, bool& field, std::string help);
/// --overwrite, for compat::check_new_output.
Flag flag_overwrite(bool& field);
Flag flag_choice(std::string names, std::string& field, std::vector<std::string> choices,
                 std::string help);

/// The value of a flag as a finite number. UsageError "'x', expected an integer" (or "a number").
std::int64_t parse_integer(std::string_view text);
double parse_real(std::string_view text);
/// The same of numbers with ',' between them.
std::vector<double> parse_reals(std::string_view text);

struct FlagGroup {
  std::string title;
  std::vector<Flag> flags;
};

/// The names in `names`, which commas separate.
std::vector<std::string> split_names(std::string_view names);
/// A name as it stands on a command line: "--path", "-b".
std::string dashed(std::string_view name);

}  // namespace compat
