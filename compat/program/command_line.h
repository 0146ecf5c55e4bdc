// Parses command lines as fairseq's argparse does, from tables of flags. Shared by btm and
// btm-convert.
#pragma once

#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compat/program/flag.h"

namespace compat {

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
  bool optional = false;                     ///< With `rest`: none is enough.
};

struct CommandSpec {
  std::string program;                  ///< "btm eval-lm"
  std::string summary;                  ///< one or two sentences
  std::vector<Positional> positionals;  ///< required, but for an optional last one
  std::vector<FlagGroup> groups;
  std::span<const ForeignFlag> foreign;
  std::shared_ptr<const void> fields = {};  ///< What the flags set, where the spec owns it.
  Positional after_dashes = {};  ///< Takes all that follows "--" in `rest`, if that is set.
};

/// Applies `args` to the fields. The last use of a flag counts, or each use of a
/// repeated one. Abbreviations are refused. `--name
/// value` and `--name=value` are equal. A negative number is a value. Flags may stand anywhere.
/// Foreign flags are added to `ignored`. Returns false after printing help to `out` for --help.
/// UsageError for all other arguments.
bool parse_command_line(const CommandSpec& spec, std::span<const std::string> args,
                        std::ostream& out, std::vector<std::string>& ignored);

}  // namespace compat
