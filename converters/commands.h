// The commands of btm-convert. Each takes the arguments after its name and returns the exit status.
// Errors are exceptions.
#pragma once

#include <span>
#include <string>

namespace converters {

int run_inspect(std::span<const std::string> args);
int run_preprocess(std::span<const std::string> args);
int run_train_sentencepiece(std::span<const std::string> args);
int run_data_bin(std::span<const std::string> args);
int run_checkpoint(std::span<const std::string> args);
int run_verify(std::span<const std::string> args);
int run_repair(std::span<const std::string> args);

}  // namespace converters
