#include "compat/program/completion.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/base/version.h"
#include "compat/io/atomic_file.h"

namespace compat {
namespace {

/// In single quotes.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// The values of "{a,b}"; none for other kinds of value.
std::vector<std::string> choices_of(const Flag& flag) {
  const std::string& name = flag.value_name;
  if (!name.starts_with('{') || !name.ends_with('}')) return {};
  return split_at(std::string_view(name).substr(1, name.size() - 2), ',');
}

/// Whether the value is a number and therefore no file.
bool takes_number(const Flag& flag) { return flag.value_name.size() == 1; }

void for_each_flag(const CommandSpec& spec, const std::function<void(const Flag&)>& visit) {
  for (const FlagGroup& group : spec.groups)
    for (const Flag& flag : group.flags) visit(flag);
}

std::string names_of(std::span<const Command> commands) {
  return join(commands, " ", [](const Command& command) { return command.name; });
}

/// "# Completions of btm 0.1.0 for bash, made by 'btm completion bash'."
std::string heading(const Program& program, std::string_view shell) {
  return concat("# Completions of ", program.name, ' ', program_version(), " for ", shell,
                ", made by '", program.name, " completion ", shell, "'.\n");
}

/// A name for the functions of a script: letters, digits and underlines.
std::string identifier(std::string_view text) {
  std::string name(text);
  std::ranges::replace_if(
      name, [](char c) { return c == '-' || c == ' '; }, '_');
  return name;
}

// bash

std::string flag_words(const CommandSpec& spec) {
  std::string words = "--help";
  for_each_flag(spec, [&](const Flag& flag) {
    for (const std::string& name : split_names(flag.names)) append(words, ' ', dashed(name));
  });
  return words;
}

std::string bash_completion(const Program& program) {
  std::string paths, words, values;
  append(words, "    '') words=", in_quotes(names_of(program.commands) + " help --help --version"),
         " ;;\n");
  for_each_command(program.commands, [&](const std::string& path, const Command& command) {
    append(paths, paths.empty() ? "" : " | ", in_quotes(path));
    if (command.spec == nullptr) {
      append(words, "    ", in_quotes(path),
             ") words=", in_quotes(names_of(command.subcommands) + " help --help"), " ;;\n");
      return;
    }
    const CommandSpec spec = command.spec();
    append(words, "    ", in_quotes(path), ") words=", in_quotes(flag_words(spec)), " ;;\n");
    for_each_flag(spec, [&](const Flag& flag) {
      const std::vector<std::string> choices = choices_of(flag);
      if (choices.empty()) return;
      const auto place = [&](const std::string& name) {
        return in_quotes(concat(path, ' ', dashed(name)));
      };
      append(values, "    ", join(split_names(flag.names), " | ", place),
             ") values=", in_quotes(join(choices, " ")), " ;;\n");
    });
  });
  const std::string function = "_" + identifier(program.name);
  return concat(heading(program, "bash"), function, R"(() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local path= next words= values= i
  if [[ $current == = ]]; then current=; fi  # bash divides --flag=value at the sign
  if [[ $previous == = ]]; then previous=${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    next=${path:+$path }${COMP_WORDS[i]}
    case $next in
    )",
                paths, R"() path=$next ;;
    esac
  done
  case $path in
)",
                words, "  esac\n  case \"$path $previous\" in\n", values, R"(  esac
  COMPREPLY=()
  if [[ -n $values ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$current"))
  elif [[ $words != --* || $current == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -o bashdefault -o default -F )",
                function, ' ', program.name, '\n');
}

// zsh

/// In a description, [ ] : and \ have a meaning.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_flag(const Flag& flag) {
  const std::vector<std::string> choices = choices_of(flag);
  std::string value;
  if (!flag.value_name.empty())
    value = concat(flag.optional_value ? "::" : ":", zsh_text(flag.value_name), ':',
                   !choices.empty()     ? "(" + join(choices, " ") + ")"
                   : takes_number(flag) ? " "
                                        : "_files");
  std::string lines;
  for (const std::string& name : split_names(flag.names)) {
    const char* const joint = flag.value_name.empty() ? "" : name.size() == 1 ? "+" : "=";
    append(lines, "    ",
           in_quotes(concat('*', dashed(name), joint, '[', zsh_text(flag.help), ']', value)),
           " \\\n");
  }
  return lines;
}

/// The function of a program or a group: it completes the command and hands on to that one's.
std::string zsh_group(const std::string& label, std::span<const Command> commands) {
  std::string names, cases;
  for (const Command& command : commands) {
    append(names, "    ", in_quotes(concat(command.name, ':', zsh_text(command.summary))), "\n");
    append(cases, "        ", command.name, ") _", identifier(concat(label, ' ', command.name)),
           " ;;\n");
  }
  return concat('_', identifier(label), R"(() {
  local curcontext=$curcontext state line
  local -a commands=(
)",
                names, R"(    'help:show the flags of a command'
  )
  _arguments -C '(- *)--help[show the commands]' '1: :->command' '*:: :->rest'
  case $state in
    command) _describe command commands ;;
    rest)
      case $line[1] in
)",
                cases, R"(        help) _describe command commands ;;
      esac ;;
  esac
}
)");
}

std::string zsh_completion(const Program& program) {
  const std::string main = "_" + identifier(program.name);
  std::string functions = zsh_group(std::string(program.name), program.commands);
  for_each_command(program.commands, [&](const std::string& path, const Command& command) {
    const std::string label = concat(program.name, ' ', path);
    if (command.spec == nullptr) {
      functions += zsh_group(label, command.subcommands);
      return;
    }
    append(functions, '_', identifier(label),
           "() {\n  _arguments -S \\\n    '--help[show the flags]' \\\n");
    for_each_flag(command.spec(), [&](const Flag& flag) { functions += zsh_flag(flag); });
    functions += "    '*:argument:_files'\n}\n";
  });
  return concat("#compdef ", program.name, '\n', heading(program, "zsh"), functions,
                "if [[ $funcstack[1] == ", main, " ]]; then\n  ", main, " \"$@\"\nelse\n  compdef ",
                main, ' ', program.name, "\nfi\n");
}

// fish

std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_flag(const Flag& flag) {
  std::string words;
  for (const std::string& name : split_names(flag.names))
    append(words, name.size() == 1 ? " -s " : " -l ", name);
  const std::vector<std::string> choices = choices_of(flag);
  if (!choices.empty())
    append(words, " -x -a ", fish_quoted(join(choices, " ")));
  else if (!flag.value_name.empty() && !flag.optional_value)
    words += takes_number(flag) ? " -x" : " -r";
  append(words, " -d ", fish_quoted(flag.help));
  return words;
}

std::string fish_completion(const Program& program) {
  const std::string function = "__fish_" + identifier(program.name);
  std::string paths, lines;
  const auto at = [&](std::string_view path) {
    return concat("complete -c ", program.name, " -n ",
                  fish_quoted(concat(function, "_at ", path)));
  };
  const auto add_group = [&](std::string_view path, std::span<const Command> commands) {
    for (const Command& command : commands)
      append(lines, at(path), " -f -a ", command.name, " -d ", fish_quoted(command.summary), '\n');
    append(lines, at(path), " -f -a help -d 'show the flags of a command'\n");
  };
  add_group("", program.commands);
  append(lines, at(""), " -l version -d 'show the version'\n");
  for_each_command(program.commands, [&](const std::string& path, const Command& command) {
    append(paths, ' ', fish_quoted(path));
    if (command.spec == nullptr) return add_group(path, command.subcommands);
    for_each_flag(command.spec(),
                  [&](const Flag& flag) { append(lines, at(path), fish_flag(flag), '\n'); });
  });
  return concat(heading(program, "fish"), "set -g ", function, "_paths", paths, "\nfunction ",
                function, R"(_at
    set -l path
    for word in (commandline -opc)[2..-1]
        set -l next (string trim -- "$path $word")
        if contains -- "$next" $)",
                function, R"(_paths
            set path $next
        end
    end
    test "$path" = "$argv"
end
complete -c )",
                program.name, " -l help -s h -d 'show the flags'\n", lines);
}

struct CompletionCommand {
  const Program& program;
  std::string shell, output;
  bool overwrite = false;

  CommandSpec spec() {
    return {concat(program.name, " completion"),
            concat("Prints the completions of all commands and flags for a shell. For bash: source "
                   "<(",
                   program.name, " completion bash), also as a line of ~/.bashrc."),
            {{"SHELL", "bash, zsh or fish", &shell}},
            {{"Output",
              {flag_text("output,o", "FILE", output, "write them to FILE instead"),
               flag_overwrite(overwrite)}}},
            {}};
  }
};

}  // namespace

CommandSpec completion_spec(const Program& program) {
  return CompletionCommand{program, {}, {}}.spec();
}

int run_completion(const Program& program, std::span<const std::string> args) {
  CompletionCommand command{program, {}, {}};
  std::vector<std::string> ignored;
  if (!parse_command_line(command.spec(), args, std::cout, ignored)) return 0;
  const std::string script = completion(program, command.shell);
  if (command.output.empty()) {
    std::cout << script;
  } else {
    check_new_output(command.output, command.overwrite);
    write_file_atomically(command.output, script);
  }
  return 0;
}

std::string completion(const Program& program, std::string_view shell) {
  if (shell == "bash") return bash_completion(program);
  if (shell == "zsh") return zsh_completion(program);
  if (shell == "fish") return fish_completion(program);
  throw UsageError(concat("'", printable(shell), "', expected one of ", join(kShells, ", ")));
}

}  // namespace compat
