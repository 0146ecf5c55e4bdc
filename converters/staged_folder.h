// A folder that appears whole or not at all.
#pragma once

#include <filesystem>
#include <optional>

#include "compat/io/temporaries.h"

namespace converters {

class StagedFolder {
 public:
  /// Creates TARGET.tmp.PID beside `target`. IoError when that fails, or when `target` exists and
  /// is no empty folder.
  explicit StagedFolder(std::filesystem::path target);
  /// Removes the staged folder unless commit() succeeded. A signal such as Ctrl-C removes it too.
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const noexcept { return staged_; }
  /// Renames the folder to its target.
  void commit();

 private:
  std::filesystem::path target_, staged_;
  std::optional<compat::TemporaryNote> note_;
  bool committed_ = false;
};

}  // namespace converters
