#include "converters/data_sets.h"

#include <fstream>
#include <string>

#include "converters/model_file.h"
#include "converters/npy_dataset.h"
#include "converters/text_dataset.h"

namespace converters {
namespace {

namespace fs = std::filesystem;

bool is_part(const fs::path& path) { return path.string().ends_with(".sizes.npy"); }

/// Whether `path` is a .bin of torch (pytorch_model.bin) rather than of a data set.
bool is_torch_bin(const fs::path& path) {
  return path.extension() == ".bin" && !fs::exists(fs::path(path).replace_extension(".idx")) &&
         fs::is_regular_file(path) && looks_like_model_file(path);
}

/// Whether the extension is that of a data set.
bool names_data_set(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".idx" || extension == ".bin" || extension == ".None-None" ||
         extension == ".npy" || extension == ".jsonl";
}

/// Whether `path` is a .jsonl without ids, such as the logs and results beside checkpoints.
bool is_other_jsonl(const fs::path& path) {
  if (path.extension() != ".jsonl" || !fs::is_regular_file(path)) return false;
  std::ifstream in(path, std::ios::binary);
  std::string start(8, ' ');
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  return in.gcount() > 0 && !start.starts_with("{\"ids\"") && !start.starts_with("{\"text\"");
}

fs::path with(const fs::path& prefix, const char* suffix) { return prefix.string() + suffix; }

}  // namespace

fs::path data_set_prefix(const fs::path& path) {
  if (fs::is_directory(path)) return {};
  if (names_data_set(path) && !is_part(path) && !is_torch_bin(path))
    return fs::path(path).replace_extension();
  const bool there = fs::exists(with(path, ".npy")) || fs::exists(with(path, ".jsonl")) ||
                     fs::exists(with(path, ".bin")) ||
                     (!fs::exists(path) && compat::IndexedDataset::exists(path));
  return there ? path : fs::path();
}

std::unique_ptr<compat::IndexedDataset> open_data_set(const fs::path& prefix,
                                                      const compat::Dictionary* dictionary) {
  if (!fs::exists(with(prefix, ".idx"))) {
    if (fs::exists(with(prefix, ".npy"))) return open_npy_dataset(prefix);
    if (fs::exists(with(prefix, ".jsonl"))) return open_jsonl_dataset(prefix);
  }
  return compat::IndexedDataset::open(prefix, dictionary);
}

std::set<fs::path> splits_in(const fs::path& folder) {
  std::set<fs::path> prefixes;
  for (const auto& entry : fs::directory_iterator(folder))
    if (names_data_set(entry.path()) && !is_part(entry.path()) && !is_other_jsonl(entry.path()) &&
        !is_torch_bin(entry.path()))
      prefixes.insert(fs::path(entry.path()).replace_extension());
  return prefixes;
}

std::string dictionary_name(const fs::path& prefix) {
  // SPLIT.SOURCE-TARGET.LANGUAGE
  const std::string name = prefix.filename().string();
  const std::size_t last = name.rfind('.'), before = last == std::string::npos || last == 0
                                                         ? std::string::npos
                                                         : name.rfind('.', last - 1);
  if (before == std::string::npos) return "dict.txt";
  const std::string pair = name.substr(before + 1, last - before - 1),
                    language = name.substr(last + 1);
  const bool is_language = pair.starts_with(language + "-") || pair.ends_with("-" + language);
  return is_language && !language.empty() ? "dict." + language + ".txt" : "dict.txt";
}

std::set<fs::path> language_dictionaries_in(const fs::path& folder) {
  std::set<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("dict.") && name.ends_with(".txt") &&
        name.size() > std::string_view("dict..txt").size())
      paths.insert(entry.path());
  }
  return paths;
}

fs::path dictionary_path_beside(const fs::path& prefix) {
  const fs::path folder = prefix.parent_path().empty() ? fs::path(".") : prefix.parent_path();
  for (const fs::path& path :
       {folder / dictionary_name(prefix), folder / "dict.txt", folder / ".." / "dict.txt"})
    if (fs::exists(path)) return path;
  return {};
}

std::shared_ptr<const compat::Dictionary> dictionary_beside(const fs::path& prefix) {
  const fs::path path = dictionary_path_beside(prefix);
  return path.empty() ? nullptr
                      : std::make_shared<const compat::Dictionary>(compat::Dictionary::load(path));
}

}  // namespace converters
