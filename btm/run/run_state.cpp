#include "btm/run/run_state.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "btm/run/run_record.h"
#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

}  // namespace

RunState::RunState(const fs::path& output, RunAccess access)
    : output_(fs::absolute(output)),
      access_(access),
      digests_(output_ / "steps" / "digests.cache") {
  if (access == RunAccess::kReads) return;
  for (const char* folder : {"steps", "logs"}) {
    std::error_code error;
    fs::create_directories(output_ / folder, error);
    if (error) throw compat::IoError((output_ / folder).string(), "create", error.value());
  }
}

void RunState::save_digests() const {
  if (access_ == RunAccess::kWrites) digests_.save();
}

fs::path RunState::record_of(const std::string& step, const char* kind) const {
  return output_ / "steps" / (step + kind);
}

bool RunState::is_done(const Step& step, const std::string& key) {
  const json record = read_record(record_of(step.name, ".json"));
  if (value_or<int>(record, "version", 0) != kRecordVersion) return false;
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
  json outputs = json::object(), read = json::object(), order = json::array();
  for (const auto& [input, digest] : inputs) {
    if (digests_.of(input) != digest)
      throw compat::IoError(input, "changed while the step that reads it ran");
    read[input] = digests_.read_at(input);
  }
  for (const fs::path& output : step.outputs) {
    outputs[output.string()] = digests_.of(output_ / output);
    order.push_back(output.string());
    read[output.string()] = digests_.read_at(output_ / output);
  }
  // The time of earlier, interrupted attempts counts as well.
  const json begun = read_record(record_of(step.name, ".begun"));
  json record{{"version", kRecordVersion},
              {"key", key},
              {"folder", step.folder.string()},
              {"output_order", order},
              {"seconds", seconds + value_or<double>(begun, "seconds", 0)},
              {"inputs", inputs},
              {"identity", step.identity},
              {"outputs", outputs},
              {"contents_read_at", read}};
  if (begun.contains("note")) record["note"] = begun["note"];
  write_record(record_of(step.name, ".json"), record);
  forget_failure(step.name);
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

void RunState::forget_failure(const std::string& step) const {
  std::error_code ignored;
  fs::remove(record_of(step, ".failed"), ignored);
}

void RunState::forget(const Step& step) const {
  for (const char* kind : {".json", ".begun", ".failed"}) {
    std::error_code ignored;
    fs::remove(record_of(step.name, kind), ignored);
  }
}

void RunState::begin(const Step& step, const std::string& key) const {
  std::error_code error;
  forget_failure(step.name);
  set_results_aside(std::array{step.name});
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
  auto lock = compat::FileLock::try_now(record_of(step, ".lock"));
  if (lock) {
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = 0;
    lock->sign("process " + std::to_string(::getpid()) +
               (host[0] == 0 ? "" : std::string(" on ") + host.data()));
  }
  return lock;
}

std::string RunState::lock_holder(const std::string& step) const {
  return compat::without_controls(compat::FileLock::signature_of(record_of(step, ".lock")));
}

namespace {

/// N / M of a progress line "LABEL: N / M ...", which is taken off.
std::optional<double> take_share(std::string_view& line) {
  constexpr std::string_view kOf = " / ";
  const std::size_t colon = line.find(": "), slash = line.find(kOf);
  if (colon == std::string_view::npos || slash == std::string_view::npos || slash < colon + 2)
    return std::nullopt;
  const std::string_view rest = line.substr(slash + kOf.size());
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const auto done = compat::number_of<double>(line.substr(colon + 2, slash - colon - 2)),
             total = compat::number_of<double>(rest.substr(0, end));
  if (!done || !total || !(*done >= 0 && *done <= *total && *total > 0)) return std::nullopt;
  line = compat::strip(rest.substr(end));
  return *done / *total;
}

}  // namespace

LogProgress progress_in(const fs::path& log) {
  constexpr std::size_t kTail = 1 << 14, kShown = 60;
  LogProgress progress;
  try {
    const auto mapped = compat::MappedFile::open(log);
    std::string_view text = compat::as_chars(mapped->bytes()), last;
    if (text.size() > kTail) text.remove_prefix(text.size() - kTail);
    compat::for_each_line(text, [&](std::string_view line) {
      constexpr std::string_view kKey = "\"num_updates\": \"";
      if (const std::size_t at = line.find(kKey); at != std::string_view::npos) {
        const std::string_view digits = line.substr(at + kKey.size());
        progress.update = compat::number_of<std::int64_t>(
            digits.substr(0, digits.find_first_not_of("0123456789")));
      }
      line = compat::strip_right(line);
      if (line.starts_with("$ ")) {  // the next command
        progress = {};
        last = {};
      } else if (!line.empty()) {
        last = line;
      }
    });
    progress.share = take_share(last);
    progress.text = compat::without_controls(std::string(last.substr(0, kShown)));
  } catch (const compat::IoError&) {
    return {};
  }
  return progress;
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
