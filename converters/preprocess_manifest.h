// preprocess.json: what the files of a destination were made from, so that a run can go on where an
// earlier one ended.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace converters {

class PreprocessManifest {
 public:
  /// Reads DESTDIR/preprocess.json. One that is missing or damaged is as one that remembers
  /// nothing.
  explicit PreprocessManifest(const std::filesystem::path& destdir);

  /// Whether `files` (relative to destdir) were made from `source` and hold what they held then,
  /// byte for byte.
  bool holds(const std::string& name, const nlohmann::json& source,
             const std::vector<std::string>& files) const;
  /// A name with a record, other than those in `names` and the dictionary; "" without one.
  std::string first_besides(const std::set<std::string>& names) const;
  /// Remembers the files, which are there by now, and writes preprocess.json.
  void record(const std::string& name, const nlohmann::json& source,
              const std::vector<std::string>& files);

  /// Whether the first run in this destination began() and never came to finish().
  bool unfinished() const;
  /// Before the first record() of a run: notes in a manifest that holds nothing yet that the run is
  /// not finished.
  void begin();
  void finish();
  /// Removes all recorded files, the dict.txt beside them, folders that this empties, and the
  /// records.
  void clear();

 private:
  void write() const;
  std::filesystem::path destdir_;
  nlohmann::json entries_;
};

}  // namespace converters
