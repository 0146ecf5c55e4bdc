// preprocess.json: what the files of a destination were made from, so that a run can go on where an earlier one ended.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace converters {

class PreprocessManifest {
 public:
  /// Reads DESTDIR/preprocess.json. One that is missing or damaged is as one that remembers nothing.
  explicit PreprocessManifest(const std::filesystem::path& destdir);

  /// Whether `files` (relative to destdir) were made from `source` and hold what they held then, byte for byte.
  bool holds(const std::string& name, const nlohmann::json& source, const std::vector<std::string>& files) const;
  /// What was remembered beside it with record().
  nlohmann::json note(const std::string& name) const;
  /// Remembers the files, which are there by now, and writes preprocess.json.
  void record(const std::string& name, const nlohmann::json& source, const std::vector<std::string>& files,
              const nlohmann::json& note = nullptr);

 private:
  std::filesystem::path destdir_;
  nlohmann::json entries_;
};

}  // namespace converters
