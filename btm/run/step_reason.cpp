// Why a finished step is not done.
#include <algorithm>
#include <set>

#include "btm/run/run_record.h"
#include "btm/run/run_state.h"
#include "compat/base/error.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kShown = 200;

json part_of(const json& record, const char* key, json empty) {
  json part = record.value(key, empty);
  return part.type() == empty.type() ? part : empty;
}

/// Of the files that the step reads, one whose content it has not read before. A project may have
/// moved, so contents are compared, and not paths.
std::string changed_input(const json& record, const std::map<std::string, std::string>& now,
                          const fs::path& project) {
  const json before = part_of(record, "inputs", json::object());
  std::set<std::string> contents, names;
  for (const auto& [file, digest] : before.items()) {
    if (digest.is_string()) contents.insert(digest.get<std::string>());
    names.insert(fs::path(file).filename().string());
  }
  for (const auto& [file, digest] : now) {
    if (contents.contains(digest)) continue;
    const fs::path near = fs::path(file).lexically_proximate(project);
    return compat::printable(near.string(), kShown) +
           (names.contains(fs::path(file).filename().string()) ? " changed" : " is new");
  }
  return now.size() < before.size() ? "it reads fewer files" : "";
}

/// The first word of the commands that differs, with the flag that it belongs to.
std::string changed_setting(const json& record, const std::vector<std::string>& now) {
  const json before = part_of(record, "identity", json::array());
  if (before.empty()) return {};  // a version that did not record it
  for (std::size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    const std::string was = i < before.size() && before[i].is_string()
                                ? before[i].get<std::string>()
                                : std::string(),
                      is = i < now.size() ? now[i] : std::string();
    if (was == is) continue;
    const bool has_flag = i > 0 && i <= now.size() && now[i - 1].starts_with("--");
    return (has_flag ? now[i - 1] + " " : std::string()) + "was '" +
           compat::printable(was, kShown) + "', is '" + compat::printable(is, kShown) + "'";
  }
  return {};
}

}  // namespace

std::string RunState::why_not_done(const Step& step) {
  const json record = read_record(record_of(step.name, ".json"));
  if (record.empty()) return {};
  if (std::string why = changed_input(record, input_digests(step), output_.parent_path());
      !why.empty())
    return why;
  if (std::string why = changed_setting(record, step.identity); !why.empty()) return why;
  const json outputs = part_of(record, "outputs", json::object());
  for (const fs::path& output : step.outputs) {
    std::error_code missing;
    if (!fs::is_regular_file(output_ / output, missing)) return output.string() + " is missing";
    if (digests_.of(output_ / output) !=
        value_or<std::string>(outputs, output.string().c_str(), ""))
      return output.string() + " changed";
  }
  return {};
}

}  // namespace btm
