// Finished results that are not those of a step's key: found by content, taken up, set aside.
#include <algorithm>
#include <array>
#include <charconv>

#include "btm/run/run_record.h"
#include "btm/run/run_state.h"
#include "compat/base/error.h"
#include "compat/base/natural_order.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Whether a path of a record stays in the run's folder.
bool stays_inside(const fs::path& path) {
  return path.is_relative() && !path.empty() &&
         std::ranges::find(path, fs::path("..")) == path.end();
}

/// The outputs of a record in the order of its step; empty for a record that is damaged.
std::vector<fs::path> outputs_of(const json& record) {
  std::vector<fs::path> paths;
  const json order = record.value("output_order", json::array());
  if (!order.is_array()) return {};
  for (const json& path : order) {
    if (!path.is_string() || !stays_inside(path.get<std::string>())) return {};
    paths.emplace_back(path.get<std::string>());
  }
  return paths;
}

/// The outputs that a record of any version names.
std::vector<fs::path> any_outputs_of(const json& record) {
  std::vector<fs::path> paths;
  const json outputs = record.value("outputs", json::object());
  if (!outputs.is_object()) return {};
  for (const auto& [path, digest] : outputs.items())
    if (stays_inside(path)) paths.emplace_back(path);
  return paths;
}

void move_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  if (from == to || !fs::exists(fs::symlink_status(from))) return;
  fs::create_directories(to.parent_path(), error);
  if (!error) fs::rename(from, to, error);
  if (error) throw compat::IoError(from.string(), "move to " + to.string(), error.value());
}

std::vector<fs::path> records_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder / "steps", error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == ".json") files.push_back(entry->path());
  std::ranges::sort(files);
  return files;
}

/// Folders earlier/N by falling N: the newest first.
std::vector<fs::path> earlier_folders(const fs::path& output) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(output / "earlier", error), end; !error && entry != end;
       entry.increment(error))
    names.push_back(entry->path().filename().string());
  std::ranges::sort(names, compat::natural_less);
  std::vector<fs::path> folders;
  for (const std::string& name : names) folders.push_back(output / "earlier" / name);
  std::ranges::reverse(folders);
  return folders;
}

/// earlier/N with the first N behind all that are there.
fs::path next_earlier(const fs::path& output) {
  std::int64_t last = 0;
  for (const fs::path& folder : earlier_folders(output)) {
    const std::string name = folder.filename().string();
    std::int64_t number = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), number).ec == std::errc())
      last = std::max(last, number);
  }
  return output / "earlier" / std::to_string(last + 1);
}

}  // namespace

std::optional<RunState::Known> RunState::find_known(const Step& step, const std::string& key,
                                                    const std::set<std::string>& taken) {
  std::vector<fs::path> folders = earlier_folders(output_);
  folders.insert(folders.begin(), output_);
  for (const fs::path& folder : folders)
    for (const fs::path& file : records_in(folder)) {
      const std::string name = file.stem().string();
      if (folder == output_ && taken.contains(name)) continue;
      const json record = read_record(file);
      if (value_or<int>(record, "version", 0) != kRecordVersion ||
          value_or<std::string>(record, "key", "") != key)
        continue;
      const std::vector<fs::path> outputs = outputs_of(record);
      const json digests = record.value("outputs", json::object());
      const bool is_whole = outputs.size() == step.outputs.size() && digests.is_object() &&
                            std::ranges::all_of(outputs, [&](const fs::path& path) {
                              std::error_code missing;
                              return fs::is_regular_file(folder / path, missing) &&
                                     digests_.of(folder / path) ==
                                         value_or<std::string>(digests, path.string().c_str(), "");
                            });
      if (is_whole) return Known{name, folder};
    }
  return std::nullopt;
}

void RunState::take_up(const Step& step, const Known& known) {
  const fs::path file = known.folder / "steps" / (known.name + ".json");
  json record = read_record(file);
  const std::vector<fs::path> outputs = outputs_of(record);
  const fs::path folder = value_or<std::string>(record, "folder", "");
  const bool moves_folder = !folder.empty() && stays_inside(folder) && !step.folder.empty();
  if (moves_folder && known.folder / folder != output_ / step.folder) {
    std::error_code error;
    fs::remove_all(output_ / step.folder, error);
    move_file(known.folder / folder, output_ / step.folder);
  }
  json digests = json::object(), order = json::array();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const fs::path moved = outputs[i].lexically_relative(folder);
    const bool is_moved = moves_folder && stays_inside(moved);
    move_file(is_moved ? output_ / step.folder / moved : known.folder / outputs[i],
              output_ / step.outputs[i]);
    digests[step.outputs[i].string()] = record["outputs"][outputs[i].string()];
    order.push_back(step.outputs[i].string());
  }
  move_file(known.folder / "logs" / (known.name + ".log"), log_of(step.name));
  record["outputs"] = digests;
  record["output_order"] = order;
  record["folder"] = step.folder.string();
  std::error_code ignored;
  for (const char* kind : {".begun", ".failed"}) fs::remove(record_of(step.name, kind), ignored);
  write_record(record_of(step.name, ".json"), record);
  if (file != record_of(step.name, ".json")) fs::remove(file, ignored);
  fs::remove(known.folder / "steps" / (known.name + ".begun"), ignored);
}

bool RunState::is_finished(const std::string& step) const {
  return !read_record(record_of(step, ".json")).empty();
}

std::vector<std::string> RunState::finished_by_earlier_versions() const {
  std::vector<std::string> names;
  for (const fs::path& file : records_in(output_)) {
    const json record = read_record(file);
    if (record.contains("outputs") && value_or<int>(record, "version", 0) < kRecordVersion)
      names.push_back(file.stem().string());
  }
  return names;
}

fs::path RunState::set_results_aside(std::span<const std::string> steps) const {
  fs::path aside;
  for (const std::string& step : steps) {
    std::error_code ignored;
    if (!fs::exists(record_of(step, ".json"), ignored)) continue;
    // The record of the attempt goes first: a process that dies in between leaves nothing that
    // looks like an interrupted attempt.
    fs::remove(record_of(step, ".begun"), ignored);
    const json record = read_record(record_of(step, ".json"));
    if (record.empty()) {
      fs::remove(record_of(step, ".json"), ignored);  // a damaged one
      continue;
    }
    if (aside.empty()) aside = next_earlier(output_);
    move_file(record_of(step, ".json"), aside / "steps" / (step + ".json"));
    const fs::path folder = value_or<std::string>(record, "folder", "");
    if (!folder.empty() && stays_inside(folder)) move_file(output_ / folder, aside / folder);
    for (const fs::path& path : any_outputs_of(record)) move_file(output_ / path, aside / path);
    move_file(log_of(step), aside / "logs" / (step + ".log"));
  }
  return aside;
}

void RunState::remove_empty_earlier() const {
  for (const fs::path& folder : earlier_folders(output_)) {
    if (!records_in(folder).empty()) continue;
    bool has_files = false;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error))
      has_files = has_files || !entry->is_directory(error);
    if (!has_files && !error) fs::remove_all(folder, error);
  }
  std::error_code ignored;
  fs::remove(output_ / "earlier", ignored);  // only when it is empty
}

}  // namespace btm
