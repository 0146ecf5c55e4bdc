#include "btm/run/step.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/nearest_name.h"
#include "compat/io/sha256.h"
#include "compat/program/command_line.h"

namespace btm {
namespace {

/// Each field has its length before it, so that different fields never give the same text.
void add_field(std::string& text, const std::string& field) {
  compat::append(text, field.size(), ':', field, ';');
}

}  // namespace

StepGraph::StepGraph(const std::vector<Step>& steps) {
  std::map<std::string, const Step*> waiting;
  for (const Step& step : steps)
    if (!waiting.emplace(step.name, &step).second)
      throw std::logic_error("step " + step.name + " is repeated");
  const auto known = waiting;
  for (const Step& step : steps)
    for (const std::string& name : step.after)
      if (!known.contains(name))
        throw std::logic_error("step " + step.name + " comes after " + name +
                               ", which does not exist");
  // Keeps the given order where `after` allows it.
  while (steps_.size() < steps.size()) {
    const std::size_t before = steps_.size();
    for (const Step& step : steps) {
      if (!waiting.contains(step.name)) continue;
      if (std::ranges::any_of(step.after,
                              [&](const std::string& name) { return waiting.contains(name); }))
        continue;
      steps_.push_back(step);
      waiting.erase(step.name);
    }
    if (steps_.size() == before)
      throw std::logic_error("step " + waiting.begin()->first + " comes after itself");
  }
}

const Step& StepGraph::at(const std::string& name) const {
  const auto found = std::ranges::find(steps_, name, &Step::name);
  if (found != steps_.end()) return *found;
  std::vector<std::string> names;
  for (const Step& step : steps_) names.push_back(step.name);
  const std::string near = compat::nearest_name(name, names);
  throw compat::UsageError("the plan has no step '" + compat::printable(name) + "'" +
                           (near.empty() ? " (see --dry-run)" : ", did you mean " + near + "?"));
}

std::vector<std::string> StepGraph::keys(
    const std::function<std::string(const std::filesystem::path&)>& digest) const {
  std::map<std::string, std::string> by_name;
  std::vector<std::string> keys;
  for (const Step& step : steps_) {
    std::string content;
    for (const std::string& part : step.identity.empty() ? identity_of(step) : step.identity)
      add_field(content, part);
    for (const auto& input : step.inputs) add_field(content, "input " + digest(input));
    for (const std::string& name : step.after) add_field(content, "after " + by_name.at(name));
    keys.push_back(compat::sha256_hex(compat::as_byte_span(content)));
    by_name[step.name] = keys.back();
  }
  return keys;
}

std::vector<std::string> identity_of(const Step& step) {
  std::vector<std::string> parts{step.name};
  for (const CommandLine& command : step.commands) {
    parts.emplace_back("command");
    parts.insert(parts.end(), command.begin(), command.end());
  }
  for (const auto& output : step.outputs) parts.push_back("output " + output.string());
  return parts;
}

std::string shell_text(const CommandLine& command) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  std::string text;
  for (const std::string& argument : command) {
    if (!text.empty()) text += ' ';
    if (!argument.empty() && argument.find_first_not_of(kPlain) == std::string::npos) {
      text += argument;
      continue;
    }
    text += '\'';
    for (const char c : argument) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    text += '\'';
  }
  return text;
}

}  // namespace btm
