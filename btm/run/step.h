// A plan's work as steps that depend on each other. A step has a key, which changes when its
// commands, the files it reads from outside, or an earlier step change.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace btm {

using CommandLine = std::vector<std::string>;

/// cfg's SECTION.KEY and the text that it holds.
struct StepSetting {
  std::string section, key, value;
  bool only_file_name = false;  ///< A path whose folders may have moved: its last part counts.
};

struct Step {
  std::string name = {};                   ///< "expert.perl": also a file's name.
  std::vector<CommandLine> commands = {};  ///< Run in order in the run's folder. "btm" and
                                           ///< "btm-convert" are this program and its sister.
  /// Run instead of `commands` after an interrupted attempt, which has left `resume_file`.
  std::filesystem::path resume_file = {};
  std::vector<CommandLine> resume_commands = {};
  /// By which settings of `resume_file`, a checkpoint, the step knows that the file is its own.
  std::vector<StepSetting> resume_settings = {};
  std::vector<std::string> after = {};             ///< Steps whose outputs it reads.
  std::vector<std::filesystem::path> inputs = {};  ///< Files it reads that no step makes.
  std::vector<std::filesystem::path> outputs =
      {};  ///< In the run's folder; they exist when the step has succeeded.
  std::filesystem::path folder =
      {};  ///< In the run's folder, for this step only: emptied before new work begins in it.
  std::string group = {};  ///< Steps of a group are similar and independent: a Slurm array.
  std::int64_t gpus = 0;
  /// What the key is made of in place of the name, the commands and the outputs, where these hold a
  /// domain's name or a path: the same work under another name or in another place has one key.
  std::vector<std::string> identity = {};
};

/// A step's name, commands and outputs, from which its key is made.
std::vector<std::string> identity_of(const Step& step);

class StepGraph {
 public:
  /// std::logic_error for a repeated name, an unknown step in `after`, or a cycle.
  explicit StepGraph(const std::vector<Step>& steps);

  /// Each step stands behind those that it depends on.
  const std::vector<Step>& steps() const noexcept { return steps_; }
  /// UsageError, with the nearest name, when there is none.
  const Step& at(const std::string& name) const;

  /// Keys of all steps, in the order of steps(): of the identity, the inputs' content and the keys
  /// of the steps before. `digest` gives the SHA-256 of an input.
  std::vector<std::string> keys(
      const std::function<std::string(const std::filesystem::path&)>& digest) const;

 private:
  std::vector<Step> steps_;
};

/// Quoted for a shell.
std::string shell_text(const CommandLine& command);

}  // namespace btm
