// The commands of btm. Each takes the arguments after its name and returns the exit status; errors
// are thrown.
#pragma once

#include <span>
#include <string>

namespace btm {

int run_average(std::span<const std::string> args);
int run_branch(std::span<const std::string> args);
int run_eval_lm(std::span<const std::string> args);
int run_release(std::span<const std::string> args);
int run_train(std::span<const std::string> args);
int run_cluster(std::span<const std::string> args);
int run_ensemble_eval(std::span<const std::string> args);
int run_eval_matrix(std::span<const std::string> args);
int run_expert(std::span<const std::string> args);
int run_forest(std::span<const std::string> args);
int run_plan(std::span<const std::string> args);
int run_run(std::span<const std::string> args);

}  // namespace btm
