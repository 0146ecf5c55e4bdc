// What a run has done, in files under its folder: steps/NAME.json for a step that is done,
// steps/NAME.failed for the last failure, logs/NAME.log. Everything can be read while steps run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "btm/run/step.h"
#include "compat/io/digest_cache.h"
#include "compat/io/file_lock.h"

namespace btm {

struct StepFailure {
  int status = 0;
  std::string reason;  ///< One line, printable.
};

class RunState {
 public:
  /// Creates the folder and those inside it.
  explicit RunState(const std::filesystem::path& output);

  const std::filesystem::path& output() const noexcept { return output_; }
  std::filesystem::path log_of(const std::string& step) const {
    return output_ / "logs" / (step + ".log");
  }
  compat::DigestCache& digests() noexcept { return digests_; }

  /// Whether `step` was done under `key` and its outputs are as it left them.
  bool is_done(const Step& step, const std::string& key);
  /// Seconds that the step took when it was done; nothing when it is not known.
  std::optional<double> seconds_of(const std::string& step) const;
  /// SHA-256 of the files that `step` reads and no step makes, by name. IoError when one cannot be
  /// read.
  std::map<std::string, std::string> input_digests(const Step& step);
  /// Notes the outputs, and `inputs` as input_digests() gave them before the commands ran. IoError
  /// when an output is missing or an input is another by now.
  void mark_done(const Step& step, const std::string& key, double seconds,
                 const std::map<std::string, std::string>& inputs = {});
  /// An attempt of `seconds` ended before its time; a later one under the same key goes on from its
  /// files.
  void mark_interrupted(const std::string& step, double seconds) const;
  void mark_failed(const std::string& step, const StepFailure& failure) const;
  std::optional<StepFailure> failure_of(const std::string& step) const;
  /// Forgets that the step was done, so that it is done again from the start.
  void forget(const Step& step) const;

  /// Before the step's commands: makes its folder, emptied, and its log anew, unless they are from
  /// an earlier attempt under the same key that was not finished; notes the key. What a finished
  /// attempt left is not gone on from: it is another by now.
  void begin(const Step& step, const std::string& key) const;

  /// Held by the process that runs the step and by its commands, so that a step whose parent was
  /// killed is not run twice. Nothing when another holds it.
  std::optional<compat::FileLock> try_lock(const std::string& step) const;

 private:
  std::filesystem::path record_of(const std::string& step, const char* kind) const;
  std::filesystem::path output_;
  compat::DigestCache digests_;
};

/// Why the last command in the log `file` failed, made printable: its last line with "error:" in
/// it, or its last line at all that is not empty; "" when there is none.
std::string reason_in(const std::filesystem::path& file);

}  // namespace btm
