#include "compat/io/file_set.h"

#include <cerrno>
#include <string_view>
#include <system_error>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/mapped_file.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFirstLine = "files to replace (+) and to remove (-)";

bool is_name(std::string_view text) {
  return !text.empty() && text != "." && text != ".." &&
         text.find_first_of(std::string_view("/\n\0", 3)) == std::string_view::npos;
}

void finish(const fs::path& marker, const FileSet& set) {
  const fs::path folder = marker.parent_path();
  for (const std::string& name : set.replaced)
    if (const fs::path staged = folder / staged_name(name); fs::exists(staged))
      rename_file(staged, folder / name);
  std::error_code ignored;  // another process may have removed it first
  for (const std::string& name : set.removed) fs::remove(folder / name, ignored);
  std::error_code error;
  fs::remove(marker, error);
  if (error) throw IoError(marker.string(), "cannot remove", error.value());
}

}  // namespace

std::string text_of(const FileSet& set) {
  std::string text(kFirstLine);
  text += '\n';
  for (const std::string& name : set.replaced) text += '+' + name + '\n';
  for (const std::string& name : set.removed) text += '-' + name + '\n';
  return text;
}

FileSet file_set_of(std::string_view text, const fs::path& marker) {
  FileSet set;
  std::size_t line_number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const bool whole = end != std::string_view::npos;
    ++line_number;
    const bool known = line_number == 1 ? line == kFirstLine
                                        : (line.starts_with('+') || line.starts_with('-')) &&
                                              is_name(line.substr(1));
    if (!whole || !known)
      throw FormatError({marker.string(), concat("line ", line_number), {}},
                        "is '" + printable(line) +
                            "', expected the list of an interrupted save (without the file the "
                            "older checkpoints count)");
    if (line_number > 1)
      (line.front() == '+' ? set.replaced : set.removed).emplace_back(line.substr(1));
    text.remove_prefix(end + 1);
  }
  if (line_number == 0)
    throw FormatError({marker.string(), {}, {}},
                      "is empty, expected the list of an interrupted save");
  return set;
}

std::string staged_name(const std::string& name) { return name + ".staged"; }

void commit_file_set(const fs::path& marker, const FileSet& set) {
  try {
    for (const std::vector<std::string>* names : {&set.replaced, &set.removed})
      for (const std::string& name : *names)
        if (!is_name(name))
          throw IoError(marker.string(),
                        "cannot list '" + printable(name) + "', expected the name of a file");
    write_file_atomically(marker, text_of(set));
  } catch (...) {
    std::error_code ignored;
    for (const std::string& name : set.replaced)
      if (is_name(name)) fs::remove(marker.parent_path() / staged_name(name), ignored);
    throw;
  }
  finish(marker, set);
}

bool finish_file_set(const fs::path& marker) {
  if (!fs::exists(marker)) return false;
  const auto file = MappedFile::open(marker);
  finish(marker, file_set_of(as_chars(file->bytes()), marker));
  return true;
}

}  // namespace compat
