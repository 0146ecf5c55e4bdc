// Completions of a program for bash, zsh and fish, made from its table of commands.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "compat/program/program.h"

namespace compat {

inline constexpr std::array<std::string_view, 3> kShells{"bash", "zsh", "fish"};

/// A script that the shell reads. It completes commands, flags and the values of choices; for all
/// other values, files. `shell` is one of kShells.
std::string completion(const Program& program, std::string_view shell);

/// `PROGRAM completion SHELL`: prints that script, or writes it.
int run_completion(const Program& program, std::span<const std::string> args);
CommandSpec completion_spec(const Program& program);

/// The command `completion` for the table of a program.
template <const Program& (*kProgram)()>
constexpr Command completion_command() {
  return {"completion", "complete commands and flags in bash, zsh and fish",
          [](std::span<const std::string> args) { return run_completion(kProgram(), args); },
          [] { return completion_spec(kProgram()); }};
}

}  // namespace compat
