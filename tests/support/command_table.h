// A program's table of commands, checked row by row.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "compat/program/completion.h"
#include "compat/program/help_page.h"
#include "compat/program/manual.h"
#include "compat/program/program.h"
#include "tests/support/flag_table.h"

namespace btm_test {

/// The names of the commands, sorted, without those that every program has.
inline std::vector<std::string> own_commands(const compat::Program& program) {
  std::vector<std::string> names;
  for (const compat::Command& command : program.commands)
    if (command.name != "completion" && command.name != "manual") names.emplace_back(command.name);
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

/// The man page and the three completions name every flag of a command.
inline void check_readers(const compat::Program& program) {
  std::string pages;
  for (const auto& [name, page] : compat::manual_pages(program)) pages += page;
  std::vector<std::string> scripts;
  for (const std::string_view shell : compat::kShells)
    scripts.push_back(compat::completion(program, shell));
  compat::for_each_command(program.commands, [&](const std::string& path,
                                                 const compat::Command& command) {
    if (command.spec == nullptr) return;
    SCOPED_TRACE(path);
    for (const compat::FlagGroup& group : command.spec().groups)
      for (const compat::Flag& flag : group.flags) {
        std::string shown = compat::shown_names(flag);
        shown = shown.substr(0, shown.find(' '));
        for (std::size_t at = shown.size(); at-- > 0;)
          if (shown[at] == '-') shown.insert(at, "\\");
        EXPECT_NE(pages.find(".B " + shown), std::string::npos) << shown;
        for (const std::string& name : names_of(flag)) {
          EXPECT_NE(scripts[0].find(dashed(name)), std::string::npos) << name;
          EXPECT_NE(scripts[1].find("'*" + dashed(name)), std::string::npos) << name;
          EXPECT_NE(scripts[2].find((name.size() == 1 ? " -s " : " -l ") + name), std::string::npos)
              << name;
        }
      }
  });
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

inline void check_program(const compat::Program& program) {
  check_table(std::string(program.name), program.commands);
  check_readers(program);
}

}  // namespace btm_test
