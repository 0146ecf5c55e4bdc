#include "converters/preprocess_destination.h"

#include <algorithm>
#include <utility>

#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/fairseq/dictionary_text.h"
#include "compat/io/digest_cache.h"
#include "compat/io/sha256.h"
#include "converters/data_sets.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDictionaryFile = "dict.txt";

void add_set_files(const fs::path& destdir, const fs::path& folder,
                   std::vector<std::string>& files) {
  for (const fs::path& prefix : splits_in(folder)) {
    if (dictionary_name(prefix) != kDictionaryFile) continue;
    for (const char* const suffix : {".idx", ".None-None", ".npy"})
      if (const fs::path file = prefix.string() + suffix; fs::exists(file))
        files.push_back(file.lexically_relative(destdir).string());
  }
}

std::string folder_of(const std::string& file) { return fs::path(file).parent_path().string(); }

}  // namespace

std::vector<std::string> set_files_in(const fs::path& destdir) {
  std::vector<std::string> files;
  if (!fs::is_directory(destdir)) return files;
  add_set_files(destdir, destdir, files);
  for (const fs::directory_entry& entry : fs::directory_iterator(destdir))
    if (entry.is_directory()) add_set_files(destdir, entry.path(), files);
  std::ranges::sort(files);
  return files;
}

PreprocessDestination::PreprocessDestination(fs::path destdir,
                                             const std::vector<std::string>& domains,
                                             PreprocessManifest& manifest,
                                             const compat::Dictionary& dictionary)
    : destdir_(std::move(destdir)), manifest_(manifest), dictionary_(dictionary) {
  std::vector<std::string> names{""};
  names.insert(names.end(), domains.begin(), domains.end());
  for (const std::string& name : names) {
    const fs::path file = dict_of(name);
    const Found found = !fs::exists(file)                              ? Found::kNone
                        : compat::Dictionary::load(file) == dictionary ? Found::kSame
                                                                       : Found::kAnother;
    folders_.push_back({name, found});
  }
}

fs::path PreprocessDestination::dict_of(const std::string& folder) const {
  return destdir_ / folder / kDictionaryFile;
}

bool PreprocessDestination::has_another_dictionary() const {
  return std::ranges::any_of(
      folders_, [](const Folder& folder) { return folder.dictionary == Found::kAnother; });
}

std::vector<std::string> PreprocessDestination::dictionary_digests() const {
  std::vector<std::string> digests{
      compat::sha256_hex(compat::as_byte_span(compat::dictionary_text(dictionary_)))};
  if (folders_.front().dictionary == Found::kSame)
    digests.push_back(compat::DigestCache().of(dict_of("")));
  return digests;
}

/// Whether sets in `folder` would lie beside another dictionary than now. A folder that is no
/// domain of the run belongs to the dictionary above it, unless it has one of its own.
bool PreprocessDestination::is_beside_another(const std::string& folder) const {
  const auto known = std::ranges::find(folders_, folder, &Folder::name);
  const Found above = folders_.front().dictionary;
  if (known != folders_.end())
    return known->dictionary == Found::kAnother ||
           (known->dictionary == Found::kNone && above == Found::kAnother);
  if (above != Found::kAnother) return false;
  return !fs::exists(dict_of(folder)) ||
         compat::Dictionary::load(dict_of(folder)) == compat::Dictionary::load(dict_of(""));
}

void PreprocessDestination::refuse_other_sets(const std::set<std::string>& files,
                                              const std::set<std::string>& names) const {
  if (!has_another_dictionary()) return;
  const auto refuse = [&](const std::string& folder, const std::string& set) {
    throw compat::IoError(dict_of(folder).string(),
                          "is another dictionary, and " + set +
                              " was made with it; take another --destdir, or remove this one");
  };
  const bool unfinished = manifest_.unfinished();
  if (folders_.front().dictionary == Found::kAnother && !unfinished)
    if (const std::string other = manifest_.first_besides(names); !other.empty()) refuse("", other);
  for (const std::string& file : set_files_in(destdir_))
    if (!files.contains(file) && !(unfinished && manifest_.names_file(file)) &&
        is_beside_another(folder_of(file)))
      refuse(fs::exists(dict_of(folder_of(file))) ? folder_of(file) : "",
             compat::printable(fs::path(file).replace_extension().string()));
}

bool PreprocessDestination::holds_other_sets(const std::set<std::string>& files) const {
  if (manifest_.unfinished()) return false;
  return std::ranges::any_of(files, [&](const std::string& file) {
    const auto folder = std::ranges::find(folders_, folder_of(file), &Folder::name);
    return (folder == folders_.end() || folder->dictionary != Found::kSame) &&
           fs::exists(destdir_ / file);
  });
}

void PreprocessDestination::place_dictionary(bool overwrite) const {
  for (const Folder& folder : folders_) {
    if (folder.dictionary == Found::kSame && !overwrite) continue;
    fs::create_directories(destdir_ / folder.name);
    dictionary_.save(dict_of(folder.name));
  }
}

}  // namespace converters
