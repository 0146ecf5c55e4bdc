// A folder that appears whole or not at all, or replaces another at once.
#pragma once

#include <filesystem>
#include <optional>

#include "compat/io/temporaries.h"

namespace converters {

class StagedFolder {
 public:
  /// Creates TARGET.tmp.PID beside `target`. IoError when that fails, or when `target` exists and
  /// is no empty folder, unless `overwrite`.
  StagedFolder(std::filesystem::path target, bool overwrite);
  /// Removes the staged folder unless commit() succeeded. A signal such as Ctrl-C removes it too.
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const noexcept { return staged_; }
  /// Renames the folder to its target. A folder that is there already is removed; IoError when it
  /// holds a file that the new one does not, which would be lost.
  void commit();

 private:
  void replace();
  std::filesystem::path target_, staged_;
  std::optional<compat::TemporaryNote> note_;
  bool committed_ = false;
};

}  // namespace converters
