// A table of flags, put to work: each flag with a value that it takes.
#pragma once

#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "compat/base/text.h"
#include "compat/program/command_line.h"

namespace btm_test {

/// The names of a flag: "batch-size,max-sentences" are two.
inline std::vector<std::string> names_of(const compat::Flag& flag) {
  std::vector<std::string> names;
  std::istringstream in(flag.names);
  for (std::string name; std::getline(in, name, ',');) names.push_back(name);
  return names;
}

/// As it stands on a command line.
inline std::string dashed(const std::string& name) {
  return (name.size() == 1 ? "-" : "--") + name;
}

/// Parses `args`; returns the flags without effect.
inline std::vector<std::string> parsed(const compat::CommandSpec& spec,
                                       const std::vector<std::string>& args) {
  std::ostringstream out;
  std::vector<std::string> ignored;
  compat::parse_command_line(spec, args, out, ignored);
  return ignored;
}

/// The default that --help shows of the flag that has `name`.
inline std::string shown_default(const std::vector<compat::FlagGroup>& groups,
                                 const std::string& name) {
  for (const compat::FlagGroup& group : groups)
    for (const compat::Flag& flag : group.flags)
      for (const std::string& own : names_of(flag))
        if (own == name) return flag.default_text;
  return "no flag " + name;
}

/// The last of a choice's values, "7" for numbers and lists of them, else a text.
inline std::string some_value(const compat::Flag& flag) {
  const std::string& kind = flag.value_name;
  if (kind.starts_with('{'))
    return kind.substr(kind.rfind(',') + 1, kind.size() - kind.rfind(',') - 2);
  return "7";
}

}  // namespace btm_test
