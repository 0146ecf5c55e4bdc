// The pages that --help prints.
#pragma once

#include <iosfwd>

#include "compat/program/program.h"

namespace compat {

/// The page of one command: usage, arguments, flags with their defaults, in lines of `width`
/// columns.
void print_help(const CommandSpec& spec, std::size_t width, std::ostream& out);

/// The page of a program or a group: its commands, and those of `other`.
void print_commands(std::string_view label, const Command& group, const OtherProgram& other,
                    std::size_t width, std::ostream& out);

// The parts of these pages, for the manual.

/// "--batch-size, --max-sentences N"
std::string shown_names(const Flag& flag);
/// The help with the default.
std::string shown_help(const Flag& flag);
/// "btm eval-lm DATA [flags]"
std::string usage_of(const CommandSpec& spec);
/// The flags that are accepted without effect, with their dashes.
std::vector<std::string> names_without_effect(const CommandSpec& spec);

}  // namespace compat
