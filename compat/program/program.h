// A program is a table of commands. The table yields the flags of each without running it.
#pragma once

#include <functional>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compat/program/command_line.h"

namespace compat {

/// One row of a program's table: a command with `run` and `spec`, or a group with `subcommands`.
struct Command {
  std::string_view name, summary;  ///< `summary`: one line without a full stop.
  int (*run)(std::span<const std::string> args) = nullptr;  ///< Gets what follows the name.
  CommandSpec (*spec)() = nullptr;                          ///< The flag tables at their defaults.
  std::span<const Command> subcommands = {};
  std::string_view about = {};  ///< A group's sentence for its own page; "": `summary`.
};

/// Visits the commands and groups of a table and of the groups in it. `path` is "cluster train".
void for_each_command(
    std::span<const Command> commands,
    const std::function<void(const std::string& path, const Command& command)>& visit);

/// The flag tables over the fields of a T, which the spec owns: T::spec(), or `spec_of`.
template <class T>
CommandSpec spec_owning() {
  const auto command = std::make_shared<T>();
  CommandSpec spec = command->spec();
  spec.fields = command;
  return spec;
}
template <class T>
CommandSpec spec_owning(CommandSpec (*spec_of)(T&)) {
  const auto command = std::make_shared<T>();
  CommandSpec spec = spec_of(*command);
  spec.fields = command;
  return spec;
}

/// Parses `args` into a new T and calls its run(), or prints help.
template <class T>
int run_as(std::span<const std::string> args) {
  T command;
  std::vector<std::string> ignored;
  return parse_command_line(command.spec(), args, std::cout, ignored) ? command.run() : 0;
}

/// The row of a command that a T with spec() and run() is.
template <class T>
constexpr Command command_of(std::string_view name, std::string_view summary) {
  return {name, summary, run_as<T>, spec_owning<T>};
}

/// The names of a program that is installed beside this one, and of its commands.
struct OtherProgram {
  std::string_view name;
  std::span<const std::string_view> commands;
};

struct Program {
  std::string_view name, summary;
  std::span<const Command> commands;
  OtherProgram other = {};           ///< Its commands are pointed out.
  std::string (*facts)() = nullptr;  ///< Lines below the version: libraries, the machine.
};

/// The main() of a program. Handles help and --version, and suggests a name for a mistyped command.
/// It alone turns exceptions into one line on stderr, which names the command and its group, and
/// an exit status: 2 for usage, 1 for all others.
int run_program(const Program& program, int argc, char** argv);

}  // namespace compat
