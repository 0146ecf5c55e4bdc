// A program's table of commands, checked row by row.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "compat/program/program.h"
#include "tests/support/flag_table.h"

namespace btm_test {

inline std::vector<std::string> sorted_names(std::span<const compat::Command> commands) {
  std::vector<std::string> names;
  for (const compat::Command& command : commands) names.emplace_back(command.name);
  std::ranges::sort(names);
  return names;
}

/// Each flag has its help and names of its own; --help shows all of them.
inline void check_spec(const std::string& path, const compat::CommandSpec& spec) {
  EXPECT_EQ(spec.program, path);
  EXPECT_TRUE(spec.summary.ends_with(".")) << spec.summary;
  std::ostringstream help;
  std::vector<std::string> ignored;
  EXPECT_FALSE(compat::parse_command_line(spec, std::vector<std::string>{"--help"}, help, ignored));
  std::set<std::string> seen{"help", "h"};
  for (const compat::FlagGroup& group : spec.groups) {
    EXPECT_FALSE(group.title.empty());
    for (const compat::Flag& flag : group.flags) {
      EXPECT_FALSE(flag.help.empty()) << flag.names;
      for (const std::string& name : names_of(flag)) {
        EXPECT_TRUE(seen.insert(name).second) << name << " stands for two flags";
        EXPECT_NE(help.str().find(dashed(name)), std::string::npos) << name;
      }
    }
  }
}

/// Each row of `commands` has a name and a summary, and yields flag tables or further rows.
inline void check_table(const std::string& program, std::span<const compat::Command> commands) {
  for (const compat::Command& command : commands) {
    const std::string path = program + " " + std::string(command.name);
    SCOPED_TRACE(path);
    EXPECT_FALSE(command.summary.empty() || command.summary.ends_with("."));
    EXPECT_EQ(command.summary.find('\n'), std::string::npos);
    if (!command.subcommands.empty()) {
      EXPECT_TRUE(command.run == nullptr && command.spec == nullptr);
      check_table(path, command.subcommands);
      continue;
    }
    ASSERT_TRUE(command.run != nullptr && command.spec != nullptr);
    check_spec(path, command.spec());
  }
}

}  // namespace btm_test
