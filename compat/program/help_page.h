// The pages that --help prints.
#pragma once

#include <iosfwd>

#include "compat/program/program.h"

namespace compat {

/// The page of one command: usage, arguments, flags with their defaults.
void print_help(const CommandSpec& spec, std::ostream& out);

/// The page of a program or a group: its commands, and those of `other`.
void print_commands(std::string_view label, const Command& group, const OtherProgram& other,
                    std::ostream& out);

}  // namespace compat
