#include "compat/program/program.h"

#include <algorithm>
#include <csignal>
#include <exception>
#include <filesystem>
#include <new>
#include <stdexcept>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/nearest_name.h"
#include "compat/base/version.h"
#include "compat/io/lost_files.h"
#include "compat/program/console.h"
#include "compat/program/help_page.h"
#include "compat/program/signals.h"

namespace compat {
namespace {

/// `FILE: ACTION: REASON` of "filesystem error: ACTION: REASON [FILE] [OTHER]".
std::string plain_message(const std::filesystem::filesystem_error& error) {
  std::string_view action = error.what();
  constexpr std::string_view kPrefix = "filesystem error: ";
  if (action.starts_with(kPrefix)) action.remove_prefix(kPrefix.size());
  const std::string reason = error.code().message();
  action = action.substr(0, action.find(": " + reason));
  const std::string path = error.path1().string();
  return (path.empty() ? "an empty path" : printable(path, 4096)) + ": " + std::string(action) +
         ": " + reason;
}

int run_command(const std::string& label, int (*run)(std::span<const std::string>),
                std::span<const std::string> args) {
  const auto report = [&](std::string_view message, int status) {
    // LibTorch's messages are pages long. The first line states the problem.
    std::cout.flush();
    std::cerr << label << ": error: " << message.substr(0, message.find('\n')) << std::endl;
    return status;
  };
  report_lost_files(label);
  try {
    const int status = run(args);
    std::cout.flush();
    if (!std::cout) return report("standard output: cannot write", 1);
    return status;
  } catch (const UsageError& error) {
    return report(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return report("out of memory", 1);
  } catch (const std::filesystem::filesystem_error& error) {
    return report(plain_message(error), 1);
  } catch (
      const std::logic_error& error) {  // thrown by the standard library: no input should cause it
    return report(std::string("internal error: ") + error.what(), 1);
  } catch (const std::exception& error) {
    const std::string_view message = error.what();
    return report(
        (message.starts_with("[json.exception") ? "internal error: " : "") + std::string(message),
        1);
  }
}

/// The end of the message for an unknown command: the command that was perhaps meant.
std::string suggestion(const std::string& wanted, std::span<const Command> commands,
                       const OtherProgram& other) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.emplace_back(command.name);
  const std::vector<std::string> others(other.commands.begin(), other.commands.end());
  const std::string own_name = nearest_name(wanted, names);
  const std::string other_name = nearest_name(wanted, others);
  if (other_name == wanted && !wanted.empty())
    return concat(", it is a command of ", other.name, ": ", other.name, ' ', wanted);
  if (!own_name.empty()) return concat(", did you mean ", own_name, '?');
  if (!other_name.empty()) return concat(", did you mean ", other.name, ' ', other_name, '?');
  return commands.size() > 6 ? " (see --help)" : ", expected one of " + join(names, ", ");
}

bool asks_for_help(std::string_view arg) { return arg == "--help" || arg == "-h" || arg == "help"; }

/// The exit status after printing help or the version.
int output_status(std::string_view program) {
  if (std::cout) return 0;
  std::cerr << program << ": error: standard output: cannot write" << std::endl;
  return 1;
}

/// Runs the command of `group` that `args` begin with; alone, or asked for help, prints the group.
/// `label` is the program's name and those of the groups around this one.
int dispatch(const Command& group, const OtherProgram& other, const std::string& label,
             std::vector<std::string> args) {
  if (!args.empty() && asks_for_help(args.front())) {
    args.erase(args.begin());  // help COMMAND is COMMAND --help
    if (!args.empty()) args.emplace_back("--help");
  }
  if (args.empty()) {
    print_commands(label, group, other, page_width(), std::cout);
    return output_status(label);
  }
  const std::string wanted = args.front();
  args.erase(args.begin());
  for (const Command& command : group.subcommands) {
    if (command.name != wanted) continue;
    const std::string own_label = concat(label, ' ', wanted);
    return command.run != nullptr ? run_command(own_label, command.run, args)
                                  : dispatch(command, {}, own_label, std::move(args));
  }
  std::cerr << label << ": error: unknown command '" << printable(wanted) << "'"
            << suggestion(wanted, group.subcommands, other) << std::endl;
  return 2;
}

void visit_commands(
    std::span<const Command> commands, const std::string& prefix,
    const std::function<void(const std::string& path, const Command& command)>& visit) {
  for (const Command& command : commands) {
    const std::string path = concat(prefix, command.name);
    visit(path, command);
    visit_commands(command.subcommands, path + ' ', visit);
  }
}

}  // namespace

void for_each_command(
    std::span<const Command> commands,
    const std::function<void(const std::string& path, const Command& command)>& visit) {
  visit_commands(commands, {}, visit);
}

int run_program(const Program& program, int argc, char** argv) {
  escape_console_output();
  remove_temporaries_on_signals();
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond ulimit -f is an error, like a full disk
  std::vector<std::string> args(argv + 1, argv + argc);
  if (!args.empty() && args.front() == "--version") {
    std::cout << program.name << " " << program_version() << "\n";
    if (program.facts != nullptr) std::cout << program.facts();
    std::cout.flush();
    return output_status(program.name);
  }
  const Command all{program.name, program.summary, nullptr, nullptr, program.commands};
  return dispatch(all, program.other, std::string(program.name), std::move(args));
}

}  // namespace compat
