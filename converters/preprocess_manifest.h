// preprocess.json records from what the files of a destination were made, so that a later run can
// continue an earlier one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace converters {

/// Runs at the same time may share a destination: each writes its own records beside those of the
/// others.
class PreprocessManifest {
 public:
  /// Reads DESTDIR/preprocess.json. A missing or damaged file counts as empty.
  explicit PreprocessManifest(const std::filesystem::path& destdir);

  /// Whether `files` (relative to destdir) were made from `source` and are unchanged, byte for
  /// byte.
  bool holds(const std::string& name, const nlohmann::json& source,
             const std::vector<std::string>& files) const;
  /// Whether the record of `name` says that its files were made from `source`.
  bool is_made_from(const std::string& name, const nlohmann::json& source) const;
  /// The name of a record that is neither in `names` nor the dictionary's. "" when there is none.
  std::string first_besides(const std::set<std::string>& names) const;
  /// Whether a record names the file (relative to destdir).
  bool names_file(const std::string& file) const;
  /// Records the files, which now exist, and writes preprocess.json.
  void record(const std::string& name, const nlohmann::json& source,
              const std::vector<std::string>& files);

  /// Whether the first run in this destination called begin() but not finish().
  bool unfinished() const;
  /// To be called before the first record() of a run. An empty manifest of a folder `without_sets`
  /// then notes that the run is unfinished: all sets that come there are the run's own.
  void begin(bool without_sets);
  void finish();
  /// Removes all recorded files, the dict.txt beside them, folders that become empty, and the
  /// records.
  void clear();

 private:
  void write();
  std::filesystem::path destdir_;
  nlohmann::json entries_;
  std::set<std::string> changed_;  ///< The entries that this object made or removed.
};

}  // namespace converters
