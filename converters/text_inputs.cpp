#include "converters/text_inputs.h"

#include <glob.h>

#include <algorithm>
#include <array>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/io/text_file.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

bool is_named_as_text(const fs::path& path) {
  constexpr std::array<std::string_view, 4> kExtensions{".txt", ".jsonl", ".ndjson", ".json"};
  return std::ranges::find(kExtensions, compat::uncompressed_name(path).extension().string()) !=
         kExtensions.end();
}

TextInputs in_folder(const fs::path& folder) {
  TextInputs found;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::end(entry); entry.increment(error)) {
    if (is_hidden(entry->path())) {
      if (entry->is_directory()) entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file()) continue;
    if (is_named_as_text(entry->path()))
      found.files.push_back(entry->path());
    else
      ++found.skipped;
  }
  if (error) throw compat::IoError(folder.string(), "cannot read", error.value());
  if (found.files.empty())
    throw compat::IoError(
        folder.string(),
        compat::concat("no text in this folder, expected files named .txt or .jsonl (or "
                       ".ndjson, .json; also .gz, .zst), found ",
                       found.skipped, " others"));
  std::ranges::sort(found.files);
  found.of_folders.insert(found.files.begin(), found.files.end());
  return found;
}

std::vector<std::string> matches(const std::string& pattern) {
  glob_t found{};
  const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> names;
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i)
    names.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (names.empty()) throw compat::IoError(pattern, "no file matches this pattern");
  return names;
}

TextInputs part_inputs(const std::string& name) {
  std::error_code missing;
  if (fs::is_directory(name, missing)) return in_folder(name);
  TextInputs inputs;
  if (fs::exists(name, missing) || name.find_first_of("*?[") == std::string::npos) {
    inputs.files.push_back(compat::existing_text_file(name));
    return inputs;
  }
  for (const std::string& match : matches(name))
    inputs.append(fs::is_directory(match) ? in_folder(match)
                                          : TextInputs{{compat::existing_text_file(match)}, {}, 0});
  return inputs;
}

}  // namespace

void TextInputs::append(const TextInputs& more) {
  files.insert(files.end(), more.files.begin(), more.files.end());
  of_folders.insert(more.of_folders.begin(), more.of_folders.end());
  skipped += more.skipped;
}

std::vector<TextInputs> text_inputs(const std::string& names) {
  std::error_code too_long;  // a list of files can be too long for a name
  std::vector<TextInputs> parts;
  for (const std::string& name :
       fs::exists(names, too_long) ? std::vector{names} : compat::split_at(names, ','))
    parts.push_back(part_inputs(name));
  return parts;
}

TextInputs all_text_inputs(const std::string& names) {
  TextInputs all;
  for (const TextInputs& part : text_inputs(names)) all.append(part);
  return all;
}

}  // namespace converters
