// A plan's work as steps that depend on each other. A step is known by its content: the key of a
// step changes when its commands, the files it reads from outside, or a step before it change.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace btm {

using CommandLine = std::vector<std::string>;

struct Step {
  std::string name = {};  ///< "expert.perl": also a file's name.
  std::vector<CommandLine> commands =
      {};  ///< Run one after another in the run's folder; "btm" and "btm-convert" are ours.
  /// When `resume_file` is there, an attempt was interrupted, and these are run instead of
  /// `commands`.
  std::filesystem::path resume_file = {};
  std::vector<CommandLine> resume_commands = {};
  std::vector<std::string> after = {};             ///< Steps whose outputs it reads.
  std::vector<std::filesystem::path> inputs = {};  ///< Files it reads that no step makes.
  std::vector<std::filesystem::path> outputs =
      {};  ///< In the run's folder; there when it has succeeded.
  std::filesystem::path folder =
      {};  ///< In the run's folder, of this step alone: emptied before other work is begun in it.
  std::string group = {};  ///< Steps of a group are alike and independent: an array for Slurm.
  std::int64_t gpus = 0;
};

class StepGraph {
 public:
  /// std::logic_error for a name given twice, an unknown step in `after`, a circle.
  explicit StepGraph(std::vector<Step> steps);

  /// Each behind those that it comes after.
  const std::vector<Step>& steps() const noexcept { return steps_; }
  /// UsageError, with the nearest name, when there is none.
  const Step& at(const std::string& name) const;

  /// Keys of all steps, in the order of steps(). `digest` gives the SHA-256 of an input.
  std::vector<std::string> keys(
      const std::function<std::string(const std::filesystem::path&)>& digest) const;

 private:
  std::vector<Step> steps_;
};

/// As a shell would need it typed.
std::string shell_text(const CommandLine& command);

}  // namespace btm
