#include "compat/program/command_line.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <map>
#include <ostream>
#include <set>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/nearest_name.h"
#include "compat/program/console.h"
#include "compat/program/help_page.h"

namespace compat {
namespace {

namespace po = boost::program_options;

constexpr const char* kPositionals =
    " arguments";  ///< Program_options needs a name. No user can type this one.

/// The flag to which a name belongs: `flag`, or `foreign`.
struct FlagTarget {
  const Flag* flag = nullptr;
  const ForeignFlag* foreign = nullptr;
};

std::map<std::string, FlagTarget> known_flags(const CommandSpec& spec) {
  std::map<std::string, FlagTarget> known;
  for (const FlagGroup& group : spec.groups)
    for (const Flag& flag : group.flags)
      for (const std::string& name : split_names(flag.names)) known[name].flag = &flag;
  for (const ForeignFlag& flag : spec.foreign)
    for (const std::string& name : split_names(flag.names))
      if (known[name].flag == nullptr) known[name].foreign = &flag;
  return known;
}

po::options_description describe(const std::map<std::string, FlagTarget>& known) {
  po::options_description description;
  description.add_options()("help,h", "");
  for (const auto& [name, target] : known) {
    // Program_options needs a long form ("name,x") for a single letter. No user can type this one.
    const std::string key = name.size() == 1 ? " " + name + "," + name : name;
    const bool has_value =
        target.flag != nullptr ? !target.flag->value_name.empty() : target.foreign->takes_value;
    if (!has_value) {
      description.add_options()(key.c_str(), "");
      continue;
    }
    auto* value = po::value<std::string>();
    if (target.flag != nullptr && target.flag->optional_value)
      value->implicit_value(target.flag->implicit_value);
    description.add_options()(key.c_str(), value, "");
  }
  description.add_options()(kPositionals, po::value<std::vector<std::string>>(), "");
  return description;
}

/// The end of the message for an unknown flag: the flags that `typed` begins, or ends as a whole
/// word ("clusters" of "num-clusters"), or else the nearest.
std::string flag_suggestion(std::string_view typed,
                            const std::map<std::string, FlagTarget>& known) {
  std::vector<std::string> names{"help"}, longer;  // of single letters none is near another
  std::set<const void*> seen;                      // aliases are one flag
  for (const auto& [name, target] : known) {
    if (name.size() > 1) names.push_back(name);
    const void* const flag =
        target.flag != nullptr ? static_cast<const void*>(target.flag) : target.foreign;
    if (!typed.empty() && (name.starts_with(typed) || name.ends_with(concat('-', typed))) &&
        seen.insert(flag).second)
      longer.push_back(dashed(name));
  }
  std::ranges::stable_sort(longer, {}, &std::string::size);
  constexpr std::size_t kMost = 4;
  if (longer.size() > kMost) {
    longer.resize(kMost);
    longer.emplace_back("...");
  }
  if (longer.empty())
    if (const std::string near = nearest_name(typed, names); !near.empty())
      longer.push_back(dashed(near));
  return longer.empty() ? " (see --help)" : concat(", did you mean ", join(longer, ", "), '?');
}

/// Parses with Program_options and replaces its error messages.
po::parsed_options parse(const std::map<std::string, FlagTarget>& known,
                         std::span<const std::string> args) {
  const po::options_description description = describe(known);
  const po::positional_options_description positionals =
      po::positional_options_description().add(kPositionals, -1);
  // Abbreviations are refused, as in fairseq (allow_abbrev=False).
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    return po::command_line_parser(std::vector<std::string>(args.begin(), args.end()))
        .options(description)
        .positional(positionals)
        .style(style)
        .run();
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.erase(0, name.find_first_not_of('-'));
    throw UsageError("unknown flag '" + printable(error.get_option_name()) + "'" +
                     flag_suggestion(name, known));
  } catch (const po::invalid_command_line_syntax& error) {
    std::string name = error.get_option_name();
    name.erase(0, name.find_first_not_of(" -"));  // " j" is the long form of -j
    name = dashed(printable(name));
    if (error.kind() == po::invalid_syntax::extra_parameter)
      throw UsageError("flag " + name + " takes no value");
    throw UsageError("flag " + name + " needs a value");
  } catch (const po::error& error) {
    throw UsageError(printable(error.what(), 200));
  }
}

void apply_flag(const std::string& name, const FlagTarget& target, const std::string& value,
                std::vector<std::string>& ignored) {
  if (target.foreign != nullptr) {
    if (target.foreign->refused) throw UsageError("flag " + dashed(name) + " is not supported");
    ignored.push_back(dashed(name));
    return;
  }
  try {
    target.flag->apply(value);
  } catch (const UsageError& error) {
    throw UsageError("flag " + dashed(name) + ": " + error.what());
  }
}

}  // namespace

bool parse_command_line(const CommandSpec& spec, std::span<const std::string> args,
                        std::ostream& out, std::vector<std::string>& ignored) {
  if (spec.after_dashes.rest != nullptr) {
    const auto dashes = std::ranges::find(args, "--");
    if (dashes != args.end()) spec.after_dashes.rest->assign(dashes + 1, args.end());
    args = {args.begin(), dashes};
  }
  const auto known = known_flags(spec);
  const po::parsed_options parsed = parse(known, args);
  std::vector<std::string> positionals;
  std::map<std::string, std::vector<std::string>> values;  // by flag: those that count
  std::vector<std::string> order;
  for (const auto& option : parsed.options) {
    if (option.position_key >= 0) {
      positionals.insert(positionals.end(), option.value.begin(), option.value.end());
      continue;
    }
    std::string name = option.string_key;
    name.erase(0, name.find_first_not_of(" -"));
    if (name == "help") {
      print_help(spec, page_width(), out);
      return false;
    }
    // Aliases share a flag, so the last use of any of them counts.
    const FlagTarget& target = known.at(name);
    const std::string key = target.flag != nullptr ? split_names(target.flag->names).front() : name;
    if (!values.contains(key)) order.push_back(key);
    if (target.flag == nullptr || !target.flag->repeated) values[key].clear();
    values[key].push_back(option.value.empty()
                              ? (target.flag != nullptr ? target.flag->implicit_value : "")
                              : option.value.back());
  }
  for (std::size_t i = 0; i < spec.positionals.size(); ++i) {
    if (i >= positionals.size() && spec.positionals[i].optional) break;
    if (i >= positionals.size())
      throw UsageError("missing " + spec.positionals[i].name + " (usage: " + usage_of(spec) +
                       "; see --help)");
    if (spec.positionals[i].rest == nullptr) {
      *spec.positionals[i].field = positionals[i];
      continue;
    }
    spec.positionals[i].rest->assign(positionals.begin() + static_cast<std::ptrdiff_t>(i),
                                     positionals.end());
    positionals.resize(i + 1);
  }
  if (positionals.size() > spec.positionals.size())
    throw UsageError("unexpected argument '" + printable(positionals[spec.positionals.size()]) +
                     "'");
  for (const std::string& name : order)
    for (const std::string& value : values[name]) apply_flag(name, known.at(name), value, ignored);
  return true;
}

}  // namespace compat
