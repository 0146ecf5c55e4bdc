#include "btm/run/run_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kIndent = 1;

/// A JSON object that btm wrote. Empty for a file that is missing or damaged, whose step is then
/// done again.
json read_record(const fs::path& file) {
  std::error_code missing;
  if (!fs::is_regular_file(file, missing)) return json::object();
  try {
    const auto mapped = compat::MappedFile::open(file);
    json record = compat::parse_json(compat::as_chars(mapped->bytes()));
    return record.is_object() ? record : json::object();
  } catch (const compat::IoError&) {
    return json::object();  // it was replaced or removed meanwhile
  }
}

void write_record(const fs::path& file, const json& record) {
  compat::write_file_atomically(
      file, record.dump(kIndent, ' ', false, json::error_handler_t::replace) + "\n");
}

template <class T>
T value_or(const json& record, const char* key, T fallback) {
  const auto found = record.find(key);
  try {
    return found == record.end() ? fallback : found->get<T>();
  } catch (const json::exception&) {
    return fallback;
  }
}

}  // namespace

RunState::RunState(const fs::path& output)
    : output_(fs::absolute(output)), digests_(output_ / "steps" / "digests.cache") {
  for (const char* folder : {"steps", "logs"}) {
    std::error_code error;
    fs::create_directories(output_ / folder, error);
    if (error) throw compat::IoError((output_ / folder).string(), "create", error.value());
  }
}

fs::path RunState::record_of(const std::string& step, const char* kind) const {
  return output_ / "steps" / (step + kind);
}

bool RunState::is_done(const Step& step, const std::string& key) {
  const json record = read_record(record_of(step.name, ".json"));
  if (value_or<std::string>(record, "key", "") != key) return false;
  const json outputs = record.value("outputs", json::object());
  return std::ranges::all_of(step.outputs, [&](const fs::path& output) {
    std::error_code missing;
    if (!fs::is_regular_file(output_ / output, missing) || !outputs.is_object()) return false;
    return digests_.of(output_ / output) ==
           value_or<std::string>(outputs, output.string().c_str(), "");
  });
}

std::optional<double> RunState::seconds_of(const std::string& step) const {
  const double seconds = value_or<double>(read_record(record_of(step, ".json")), "seconds", -1);
  return seconds < 0 ? std::nullopt : std::optional(seconds);
}

std::map<std::string, std::string> RunState::input_digests(const Step& step) {
  std::map<std::string, std::string> digests;
  for (const fs::path& input : step.inputs) digests[input.string()] = digests_.of(input);
  return digests;
}

void RunState::mark_done(const Step& step, const std::string& key, double seconds,
                         const std::map<std::string, std::string>& inputs) {
  json outputs = json::object(), read = json::object();
  for (const auto& [input, digest] : inputs) {
    if (digests_.of(input) != digest)
      throw compat::IoError(input, "changed while the step that reads it ran");
    read[input] = digests_.read_at(input);
  }
  for (const fs::path& output : step.outputs) {
    outputs[output.string()] = digests_.of(output_ / output);
    read[output.string()] = digests_.read_at(output_ / output);
  }
  // The time of earlier, interrupted attempts counts as well.
  const json begun = read_record(record_of(step.name, ".begun"));
  json record{{"key", key},
              {"seconds", seconds + value_or<double>(begun, "seconds", 0)},
              {"inputs", inputs},
              {"outputs", outputs},
              {"contents_read_at", read}};
  if (begun.contains("note")) record["note"] = begun["note"];
  write_record(record_of(step.name, ".json"), record);
  std::error_code ignored;
  fs::remove(record_of(step.name, ".failed"), ignored);
}

void RunState::mark_interrupted(const std::string& step, double seconds) const {
  json begun = read_record(record_of(step, ".begun"));
  begun["seconds"] = value_or<double>(begun, "seconds", 0) + seconds;
  write_record(record_of(step, ".begun"), begun);
}

void RunState::mark_failed(const std::string& step, const StepFailure& failure) const {
  write_record(record_of(step, ".failed"),
               {{"status", failure.status}, {"reason", failure.reason}});
}

std::optional<StepFailure> RunState::failure_of(const std::string& step) const {
  const json record = read_record(record_of(step, ".failed"));
  if (record.empty()) return std::nullopt;
  return StepFailure{value_or<int>(record, "status", 1),
                     value_or<std::string>(record, "reason", "")};
}

void RunState::forget(const Step& step) const {
  for (const char* kind : {".json", ".begun", ".failed"}) {
    std::error_code ignored;
    fs::remove(record_of(step.name, kind), ignored);
  }
}

void RunState::begin(const Step& step, const std::string& key) const {
  std::error_code error;
  fs::remove(record_of(step.name, ".failed"), error);
  // In this order a process that dies in between leaves nothing that looks like an interrupted
  // attempt.
  if (fs::exists(record_of(step.name, ".json"))) fs::remove(record_of(step.name, ".begun"), error);
  fs::remove(record_of(step.name, ".json"), error);
  if (value_or<std::string>(read_record(record_of(step.name, ".begun")), "key", "") == key) return;
  if (!step.folder.empty()) fs::remove_all(output_ / step.folder, error);
  if (error) throw compat::IoError((output_ / step.folder).string(), "empty", error.value());
  if (!step.folder.empty()) fs::create_directories(output_ / step.folder, error);
  if (error) throw compat::IoError((output_ / step.folder).string(), "create", error.value());
  fs::remove(log_of(step.name), error);
  write_record(record_of(step.name, ".begun"), {{"key", key}, {"seconds", 0}});
}

fs::path RunState::foreign_file_of(const std::string& step) const {
  return record_of(step, ".foreign.pt");
}

void RunState::set_aside(const Step& step, const std::string& key,
                         const std::string& problem) const {
  std::error_code error;
  fs::rename(output_ / step.resume_file, foreign_file_of(step.name), error);
  if (error) throw compat::IoError((output_ / step.resume_file).string(), "move", error.value());
  fs::remove(record_of(step.name, ".begun"), error);
  begin(step, key);
  write_record(record_of(step.name, ".begun"),
               {{"key", key},
                {"seconds", 0},
                {"note", problem + ": it was moved to " + foreign_file_of(step.name).string() +
                             ", and the step began anew"}});
}

std::string RunState::note_of(const std::string& step) const {
  for (const char* kind : {".begun", ".json"})
    if (const json record = read_record(record_of(step, kind)); !record.empty())
      return compat::without_controls(value_or<std::string>(record, "note", ""));
  return {};
}

std::optional<compat::FileLock> RunState::try_lock(const std::string& step) const {
  return compat::FileLock::try_now(record_of(step, ".lock"));
}

std::string reason_in(const fs::path& file) {
  constexpr std::size_t kTail = 1 << 16, kLine = 1000;
  std::string reason, last;
  try {
    const auto mapped = compat::MappedFile::open(file);
    std::string_view text = compat::as_chars(mapped->bytes());
    if (text.size() > kTail) text.remove_prefix(text.size() - kTail);
    compat::for_each_line(text, [&](std::string_view line) {
      if (line.starts_with("$ ")) {  // the next command
        reason.clear(), last.clear();
        return;
      }
      line = compat::strip_right(line.substr(0, kLine));
      if (line.empty()) return;
      last = line;
      if (line.find("error:") != std::string_view::npos) reason = last;
    });
  } catch (const compat::IoError&) {
    return {};
  }
  return compat::without_controls(reason.empty() ? last : reason);
}

}  // namespace btm
