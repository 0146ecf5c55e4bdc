// The two programs and the names of their commands, so that each can point to the other.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "compat/program/command_line.h"

namespace compat {

struct SisterProgram {
  std::string_view name;
  std::span<const std::string_view> commands;
};

inline constexpr std::array<std::string_view, 12> kBtmCommands{
    "average", "branch", "cluster", "ensemble-eval", "eval-lm", "eval-matrix",
    "expert",  "forest", "plan",    "release",       "run",     "train"};
inline constexpr std::array<std::string_view, 7> kConvertCommands{
    "checkpoint", "data-bin", "inspect", "preprocess", "repair", "train-sentencepiece", "verify"};

/// run_program() of a program that has a sister: its help names the sister's commands, and a
/// command that only the sister has is pointed to.
int run_program(std::string_view program, std::string_view summary,
                std::span<const Command> commands, int argc, char** argv,
                const SisterProgram& sister);

}  // namespace compat
