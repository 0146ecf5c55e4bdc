// A folder that appears whole or not at all.
#pragma once

#include <filesystem>
#include <optional>

#include "compat/io/temporaries.h"

namespace converters {

class StagedFolder {
 public:
  /// Makes TARGET.tmp.PID beside `target`, which must not be there (or be an empty folder).
  /// IoError.
  explicit StagedFolder(std::filesystem::path target);
  /// Removes what was staged unless commit() succeeded; so does Ctrl-C.
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
