// The names of the two programs and of their commands, so that each can point to the other.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "compat/program/command_line.h"

namespace compat {

struct OtherProgram {
  std::string_view name;
  std::span<const std::string_view> commands;
};

inline constexpr std::array<std::string_view, 12> kBtmCommands{
    "average", "branch", "cluster", "ensemble-eval", "eval-lm", "eval-matrix",
    "expert",  "forest", "plan",    "release",       "run",     "train"};
inline constexpr std::array<std::string_view, 7> kConvertCommands{
    "checkpoint", "data-bin", "inspect", "preprocess", "repair", "train-sentencepiece", "verify"};

/// run_program() for a program beside another one. The help lists the other program's commands. A
/// command that only the other has is pointed out.
int run_program(std::string_view program, std::string_view summary,
                std::span<const Command> commands, int argc, char** argv,
                const OtherProgram& other_program);

}  // namespace compat
