// What --destdir holds before a run, and how the run's dictionary comes there: never beside sets of
// another one.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "compat/fairseq/dictionary.h"
#include "converters/preprocess_manifest.h"

namespace converters {

class PreprocessDestination {
 public:
  /// Reads the dictionaries of `destdir` and of the domains' folders in it. `manifest` is that of
  /// `destdir`, and `dictionary` the run's. Both outlive this object. FormatError for a dict.txt
  /// that cannot be read.
  PreprocessDestination(std::filesystem::path destdir, const std::vector<std::string>& domains,
                        PreprocessManifest& manifest, const compat::Dictionary& dictionary);

  /// Whether one of the folders has a dict.txt of other symbols.
  bool has_another_dictionary() const;
  /// The digests under which a record may name the run's dictionary: that of dict.txt, if it has
  /// the same symbols, and that of the bytes that the run would write.
  std::vector<std::string> dictionary_digests() const;
  /// IoError where a set that the run does not replace would lie beside another dictionary than its
  /// own. `files` and `names` are the files (relative to destdir) and records that it replaces. The
  /// recorded files of an unfinished run are no obstacle, because they are removed.
  void refuse_other_sets(const std::set<std::string>& files,
                         const std::set<std::string>& names) const;
  /// Whether one of `files` is there, and may have been made with another dictionary. They and the
  /// dictionary must then be replaced together.
  bool holds_other_sets(const std::set<std::string>& files) const;
  /// Writes dict.txt to all folders. One of the same symbols stays, unless `overwrite`.
  void place_dictionary(bool overwrite) const;

 private:
  enum class Found { kNone, kSame, kAnother };
  struct Folder {
    std::string name;  ///< Relative to destdir; "" for destdir itself.
    Found dictionary;
  };
  std::filesystem::path dict_of(const std::string& folder) const;
  bool is_beside_another(const std::string& folder) const;

  std::filesystem::path destdir_;
  PreprocessManifest& manifest_;
  const compat::Dictionary& dictionary_;
  std::vector<Folder> folders_;
};

/// The files of data sets in `destdir` and in its folders that depend on a dict.txt, relative to
/// `destdir`, sorted.
std::vector<std::string> set_files_in(const std::filesystem::path& destdir);

}  // namespace converters
