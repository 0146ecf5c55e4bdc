// Several files of one folder that are replaced together: all or none, even when the process is
// killed.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace compat {

/// The changes to a folder. The entries are file names, not paths.
struct FileSet {
  std::vector<std::string> replaced;  ///< The new file is complete and synced as staged_name(NAME).
  std::vector<std::string> removed;
};

/// The text of the marker file: a first line that names the format, then one line per file. "+"
/// marks a replaced file, "-" a removed one.
std::string text_of(const FileSet& set);

/// Reads the text that text_of() writes. FormatError that names `marker` for any other text, and
/// for names that lie in another folder.
FileSet file_set_of(std::string_view text, const std::filesystem::path& marker);

/// The name under which the new file NAME is written before the set is committed.
std::string staged_name(const std::string& name);

/// Makes the changes in the folder of `marker`. The marker file lists them. Once it is written the
/// changes are always finished; it is removed after the last. On an IoError before that (a full
/// disk, for example) the staged files are removed.
void commit_file_set(const std::filesystem::path& marker, const FileSet& set);

/// Finishes a set whose process was killed after it wrote the marker. Returns false when there is
/// no marker: staged files are then left from a set that was never committed. FormatError for a
/// marker that commit_file_set() did not write.
bool finish_file_set(const std::filesystem::path& marker);

}  // namespace compat
