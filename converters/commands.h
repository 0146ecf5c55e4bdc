// The commands of btm-convert. run_NAME takes the arguments after the name and returns the exit
// status; errors are exceptions. NAME_spec yields the flag tables.
#pragma once

#include <span>
#include <string>

#include "compat/program/program.h"

namespace converters {

/// btm-convert with the table of its commands.
const compat::Program& program();

int run_inspect(std::span<const std::string> args);
int run_preprocess(std::span<const std::string> args);
int run_train_sentencepiece(std::span<const std::string> args);
int run_data_bin(std::span<const std::string> args);
int run_checkpoint(std::span<const std::string> args);
int run_verify(std::span<const std::string> args);
int run_repair(std::span<const std::string> args);

compat::CommandSpec inspect_spec();
compat::CommandSpec preprocess_spec();
compat::CommandSpec train_sentencepiece_spec();
compat::CommandSpec data_bin_spec();
compat::CommandSpec checkpoint_spec();
compat::CommandSpec verify_spec();
compat::CommandSpec repair_spec();

}  // namespace converters
