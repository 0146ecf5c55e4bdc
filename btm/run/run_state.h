// The state of a run in files under its folder: steps/NAME.json for a step that is done,
// steps/NAME.failed for its last failure, logs/NAME.log. All can be read while steps run. Finished
// results that are replaced move to earlier/N, which is laid out as the folder itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "btm/run/step.h"
#include "compat/io/digest_cache.h"
#include "compat/io/file_lock.h"

namespace btm {

struct StepFailure {
  int status = 0;
  std::string reason;  ///< One line, printable.
};

/// Whether files of the run are written, or only looked at.
enum class RunAccess : std::uint8_t { kWrites, kReads };

class RunState {
 public:
  /// Creates the folder and those inside it, if these are written.
  explicit RunState(const std::filesystem::path& output, RunAccess access = RunAccess::kWrites);

  const std::filesystem::path& output() const noexcept { return output_; }
  std::filesystem::path log_of(const std::string& step) const {
    return output_ / "logs" / (step + ".log");
  }
  compat::DigestCache& digests() noexcept { return digests_; }
  /// Keeps the digests for the next process, if files are written.
  void save_digests() const;

  /// Whether `step` was done under `key` and its outputs are unchanged.
  bool is_done(const Step& step, const std::string& key);
  /// The seconds that the step took; nothing when that is not known.
  std::optional<double> seconds_of(const std::string& step) const;
  /// SHA-256, by name, of the files that `step` reads and no step makes. IoError when one cannot be
  /// read.
  std::map<std::string, std::string> input_digests(const Step& step);
  /// Records the outputs, and `inputs`, which are the input_digests() from before the commands ran.
  /// IoError when an output is missing or an input has changed since.
  void mark_done(const Step& step, const std::string& key, double seconds,
                 const std::map<std::string, std::string>& inputs = {});
  /// Records an interrupted attempt of `seconds`. A later one under the same key resumes from its
  /// files.
  void mark_interrupted(const std::string& step, double seconds) const;
  void mark_failed(const std::string& step, const StepFailure& failure) const;
  std::optional<StepFailure> failure_of(const std::string& step) const;
  /// Forgets the failure of an earlier attempt, before another one.
  void forget_failure(const std::string& step) const;
  /// Forgets that the step was done, so that it is done again from the start.
  void forget(const Step& step) const;

  /// The finished result of another step, or an earlier one, that is the result of the key.
  struct Known {
    std::string name;              ///< The step's name there.
    std::filesystem::path folder;  ///< The run's folder, or one of earlier/N.
  };
  /// Looks for a step that was done under `key` and whose outputs are unchanged. The steps `taken`
  /// of the run's folder do not count, for they keep their results.
  std::optional<Known> find_known(const Step& step, const std::string& key,
                                  const std::set<std::string>& taken);
  /// Makes a known result the step's: its files and its log move, under the step's names.
  void take_up(const Step& step, const Known& known);
  /// Why a finished step is not done, for people: what changed of the files that it reads, of its
  /// commands or of its outputs; "" where that is only in the steps before it.
  std::string why_not_done(const Step& step);
  /// Whether a step of that name was finished, by this version or an earlier one.
  bool is_finished(const std::string& step) const;
  /// The finished steps of earlier versions of btm, whose keys mean something else.
  std::vector<std::string> finished_by_earlier_versions() const;
  /// Moves the finished results of steps, with their logs and records, to earlier/N, and returns
  /// that folder: "" when none of them is finished.
  std::filesystem::path set_results_aside(std::span<const std::string> steps) const;
  /// Removes folders of earlier/ that hold no result.
  void remove_empty_earlier() const;
  std::filesystem::path founding_file() const { return output_ / "steps" / "founding"; }

  /// Call it before the step's commands. A finished result is set aside first. Empties the step's
  /// folder, starts its log anew and records the key. Keeps both after an interrupted attempt under
  /// the same key, but not after a finished one, whose work has since changed.
  void begin(const Step& step, const std::string& key) const;
  /// begin() where the step's resume file is not its own, as `problem` says: the file is moved to
  /// foreign_file_of(), and note_of() tells it.
  void set_aside(const Step& step, const std::string& key, const std::string& problem) const;
  std::filesystem::path foreign_file_of(const std::string& step) const;
  /// What a user should know of how the step began, printable; "" for nothing.
  std::string note_of(const std::string& step) const;

  /// The process that runs the step and its commands hold this lock, so that a step whose parent
  /// was killed does not run twice. Nothing when another process holds it.
  std::optional<compat::FileLock> try_lock(const std::string& step) const;
  /// The process that took the step's lock last, printable: "process 12 on node3"; "" when that is
  /// not known.
  std::string lock_holder(const std::string& step) const;

 private:
  std::filesystem::path record_of(const std::string& step, const char* kind) const;
  std::filesystem::path output_;
  RunAccess access_;
  compat::DigestCache digests_;
};

/// What the log of a running step says of its progress.
struct LogProgress {
  /// The last line without the "LABEL: N / M" of a progress line, printable and cut; "" when there
  /// is none.
  std::string text;
  std::optional<std::int64_t> update;  ///< Of a training.
  std::optional<double> share;         ///< N / M.
};
LogProgress progress_in(const std::filesystem::path& log);

/// Why the last command in the log `file` failed, made printable: its last line with "error:", or
/// else its last line that is not empty; "" when there is none.
std::string reason_in(const std::filesystem::path& file);

}  // namespace btm
