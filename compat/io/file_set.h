// Several files of one folder that become new ones together, whenever the process dies.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace compat {

/// What changes in a folder at once. Names, not paths.
struct FileSet {
  std::vector<std::string>
      replaced;  ///< Each lies whole and synced in staged_name(NAME), and becomes NAME.
  std::vector<std::string> removed;
};

/// The set as the marker holds it: a line that says what it is, then a line each, replaced files
/// marked by + and removed ones by -.
std::string text_of(const FileSet& set);

/// The set of such a text. FormatError that names `marker` for anything else, names of other
/// folders among it.
FileSet file_set_of(std::string_view text, const std::filesystem::path& marker);

/// Where the new file NAME is written before the set is committed.
std::string staged_name(const std::string& name);

/// Makes the changes in the folder of `marker`. The marker, a file that lists them, is there from
/// the moment when nothing is undone any more until all is done. IoError before that moment (a full
/// disk, say) removes the staged files.
void commit_file_set(const std::filesystem::path& marker, const FileSet& set);

/// Finishes a set whose process died after the marker was written. False where there is none: then
/// staged files are of a set that never was. FormatError for a marker that no commit_file_set() has
/// written.
bool finish_file_set(const std::filesystem::path& marker);

}  // namespace compat
