#include "compat/checkpoint/metaseq_name.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

/// Takes `key` and a number of at most six digits from the end of `name`.
std::optional<std::size_t> take_number(std::string& name, std::string_view key) {
  constexpr std::size_t kMostDigits = 6;
  const std::size_t at = name.rfind(key);
  if (at == std::string::npos || at == 0) return std::nullopt;
  const std::string_view digits = std::string_view(name).substr(at + key.size());
  if (digits.empty() || digits.size() > kMostDigits ||
      digits.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  const auto number = number_of<std::size_t>(digits);
  if (number) name.erase(at);
  return number;
}

template <class Visit>
void for_each_name(const fs::path& folder, Visit visit) {
  std::error_code error;
  for (fs::directory_iterator entry(folder.empty() ? "." : folder, error), end;
       !error && entry != end; entry.increment(error))
    if (const auto name = metaseq_name(entry->path())) visit(*name, entry->path());
  if (error) throw IoError(folder.string(), "cannot list", error.value());
}

}  // namespace

std::optional<MetaseqName> metaseq_name(const fs::path& path) {
  if (path.extension() != ".pt") return std::nullopt;
  MetaseqName name{path.stem().string(), {}, {}};
  name.shard = take_number(name.stem, "-shard");
  name.part = take_number(name.stem, "-model_part-");
  if (!name.shard && !name.part) return std::nullopt;
  return name;
}

std::vector<MetaseqFile> metaseq_files(const fs::path& path) {
  const auto named = metaseq_name(path);
  if (!named && (path.extension() != ".pt" || fs::exists(path))) return {};
  const std::string stem = named ? named->stem : path.stem().string();
  const fs::path folder = path.parent_path();
  std::error_code unknown;
  if (!fs::is_directory(folder.empty() ? "." : folder, unknown)) return {};
  std::vector<MetaseqFile> files;
  std::size_t parts = 0, shards = 0;
  for_each_name(folder, [&](const MetaseqName& name, const fs::path& file) {
    if (name.stem != stem) return;
    files.push_back({folder / file.filename(), name.part.value_or(0), name.shard.value_or(0)});
    parts = std::max(parts, files.back().part + 1);
    shards = std::max(shards, files.back().shard + 1);
  });
  std::ranges::sort(files, {}, [](const MetaseqFile& f) { return std::tie(f.part, f.shard); });
  for (std::size_t i = 0; i < files.size(); ++i)
    if (files[i].part != i / shards || files[i].shard != i % shards)
      throw FormatError(
          {files[i].path.string(), {}, {}},
          concat("is one of ", files.size(), " files of ", printable(stem), ", expected part ",
                 i / shards, ", shard ", i % shards, " (one file for each of ", parts,
                 " parts and ", shards, " shards)"));
  if (!files.empty() && files.size() != parts * shards)
    throw FormatError({files.back().path.string(), {}, {}},
                      concat("is the last of ", files.size(), " files of ", printable(stem),
                             ", expected ", shards, " shards of ", parts, " parts"));
  return files;
}

std::vector<std::string> metaseq_stems_in(const fs::path& folder) {
  std::set<std::string> stems;
  for_each_name(folder, [&](const MetaseqName& name, const fs::path&) { stems.insert(name.stem); });
  return {stems.begin(), stems.end()};
}

}  // namespace compat
