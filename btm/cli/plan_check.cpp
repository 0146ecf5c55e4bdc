#include "btm/cli/plan_check.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "btm/cli/commands.h"
#include "btm/cli/train_flags.h"
#include "btm/run/build_steps.h"
#include "btm/trainer/fairseq_config.h"
#include "compat/base/error.h"

namespace btm {
namespace {

/// Whether a message quotes a word, or the flag in it.
bool tells_of(const std::string& message, const std::string& word) {
  const std::string flag = word.substr(0, word.find('='));
  return message.find("'" + flag + "'") != std::string::npos ||
         message.find("'" + word + "'") != std::string::npos ||
         message.starts_with("flag " + flag + ":") || message.starts_with("flag " + flag + " ");
}

/// The entry that the message is about, of those that are in the command; "" when it is not known.
std::string entry_of(const Plan& plan, const CommandLine& command, const std::string& message) {
  for (const auto& [entry, words] : flag_entries(plan))
    if (!words->empty() && !std::ranges::search(command, *words).empty() &&
        std::ranges::any_of(*words,
                            [&](const std::string& word) { return tells_of(message, word); }))
      return std::string(entry) + ": ";
  return {};
}

/// The flag tables of `btm NAME ...` or `btm GROUP NAME ...`, with the number of words before its
/// arguments; nothing for a command of another program.
std::pair<compat::CommandSpec (*)(), std::size_t> spec_of(const CommandLine& command) {
  if (command.size() < 2 || command[0] != "btm") return {nullptr, 0};
  const auto commands = program().commands;
  const auto found = std::ranges::find(commands, command[1], &compat::Command::name);
  if (found == commands.end()) return {nullptr, 0};
  if (found->subcommands.empty()) return {found->spec, 2};
  if (command.size() < 3) return {nullptr, 0};
  const auto inner = std::ranges::find(found->subcommands, command[2], &compat::Command::name);
  return inner == found->subcommands.end() ? std::pair(nullptr, std::size_t{0})
                                           : std::pair(inner->spec, std::size_t{3});
}

/// What btm train would refuse before it reads data or writes anything: options that exclude each
/// other, and an impossible model. UsageError, FormatError or UnsupportedError.
void check_training(std::span<const std::string> args) {
  TrainOptions options;
  DistributedOptions distributed;
  std::ostringstream help;
  std::vector<std::string> ignored;
  if (!compat::parse_command_line(train_spec(options, distributed), args, help, ignored)) return;
  try {
    complete(options);
  } catch (const compat::IoError&) {
    return;  // A file that is not there yet. An earlier step may make it.
  }
  check_criterion(options, TransformerConfig::from(model_config(options)));
}

/// What is wrong with a command line; "" for nothing.
std::string fault_of(const CommandLine& command) {
  const auto [spec, words] = spec_of(command);
  if (spec == nullptr) return {};
  try {
    std::ostringstream help;
    std::vector<std::string> ignored;
    const bool runs =
        compat::parse_command_line(spec(), std::span(command).subspan(words), help, ignored);
    if (!runs) return "flag --help: it would run nothing";
    if (command[1] == "train") check_training(std::span(command).subspan(words));
    return {};
  } catch (const compat::UsageError& error) {
    return error.what();
  } catch (const compat::FormatError& error) {
    return error.what();
  } catch (const compat::UnsupportedError& error) {
    return error.what();
  }
}

}  // namespace

void check_commands(const Plan& plan, const StepGraph& graph) {
  for (const Step& step : graph.steps())
    for (const std::vector<CommandLine>* const commands : {&step.commands, &step.resume_commands})
      for (const CommandLine& command : *commands)
        if (const std::string fault = fault_of(command); !fault.empty())
          throw compat::FormatError(
              {plan.file.string(), {}, {}},
              entry_of(plan, command, fault) + fault + " (step " + step.name + ")");
}

}  // namespace btm
