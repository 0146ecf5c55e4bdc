// Manual pages of a program, made from its table of commands.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compat/program/program.h"

namespace compat {

/// File names ("btm.1", "btm-cluster-train.1") and pages in the language of man(7): one for the
/// program, one for each group and command.
std::vector<std::pair<std::string, std::string>> manual_pages(const Program& program);

/// `PROGRAM manual`: prints a page, or writes them all.
int run_manual(const Program& program, std::span<const std::string> args);
CommandSpec manual_spec(const Program& program);

/// The command `manual` for the table of a program.
template <const Program& (*kProgram)()>
constexpr Command manual_command() {
  return {"manual", "print a manual page, or write all of them",
          [](std::span<const std::string> args) { return run_manual(kProgram(), args); },
          [] { return manual_spec(kProgram()); }};
}

}  // namespace compat
