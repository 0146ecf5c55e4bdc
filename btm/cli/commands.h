// The commands of btm. run_NAME takes the arguments after the name and returns the exit status;
// errors are thrown. NAME_spec yields the flag tables. NAME_commands yields a group's table.
#pragma once

#include <span>
#include <string>

#include "compat/program/program.h"

namespace btm {

/// btm with the table of its commands.
const compat::Program& program();

int run_average(std::span<const std::string> args);
int run_branch(std::span<const std::string> args);
int run_eval_lm(std::span<const std::string> args);
int run_generate(std::span<const std::string> args);
int run_mix(std::span<const std::string> args);
int run_routing(std::span<const std::string> args);
int run_release(std::span<const std::string> args);
int run_train(std::span<const std::string> args);
int run_ensemble_eval(std::span<const std::string> args);
int run_eval_matrix(std::span<const std::string> args);
int run_forest(std::span<const std::string> args);
int run_plan(std::span<const std::string> args);
int run_run(std::span<const std::string> args);
int run_serve(std::span<const std::string> args);
int run_score(std::span<const std::string> args);
int run_weigh(std::span<const std::string> args);
int run_doctor(std::span<const std::string> args);

compat::CommandSpec average_spec();
compat::CommandSpec branch_spec();
compat::CommandSpec eval_lm_spec();
compat::CommandSpec generate_spec();
compat::CommandSpec mix_spec();
compat::CommandSpec routing_spec();
compat::CommandSpec release_spec();
compat::CommandSpec train_spec();
compat::CommandSpec ensemble_eval_spec();
compat::CommandSpec eval_matrix_spec();
compat::CommandSpec forest_spec();
compat::CommandSpec plan_spec();
compat::CommandSpec run_spec();
compat::CommandSpec serve_spec();
compat::CommandSpec score_spec();
compat::CommandSpec weigh_spec();
compat::CommandSpec doctor_spec();

std::span<const compat::Command> cache_commands();
std::span<const compat::Command> cluster_commands();
std::span<const compat::Command> expert_commands();

}  // namespace btm
