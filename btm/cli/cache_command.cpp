#include <array>
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "btm/cli/commands.h"
#include "btm/ensemble/cache_folder.h"
#include "btm/ensemble/score_cache.h"
#include "btm/report/table.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/program/console.h"

namespace btm {
namespace {

/// --folder, which all commands have.
struct CacheFolder {
  std::string folder = default_score_cache().string();

  compat::Flag flag() {
    return compat::flag_text("folder", "DIR", folder,
                             "another score cache: --score-cache of ensemble-eval, or OUT/scores "
                             "of eval-matrix");
  }
  void check() const {
    if (folder.empty()) throw compat::UsageError("there is no home folder: --folder is needed");
  }
};

struct KindSum {
  std::string_view name;
  CacheKind kind;
  std::uint64_t files = 0, bytes = 0;
};

std::vector<KindSum> sums_of(const std::vector<CachedFile>& files) {
  std::vector<KindSum> sums{{"scores", CacheKind::kScores},
                            {"digests", CacheKind::kDigest},
                            {"temporary", CacheKind::kTemporary}};
  for (const CachedFile& file : files) {
    KindSum& sum = sums[static_cast<std::size_t>(file.kind)];
    ++sum.files;
    sum.bytes += file.bytes;
  }
  return sums;
}

std::string megabytes(std::uint64_t bytes) {
  return compat::decimal(static_cast<double>(bytes) / 1e6, 1);
}

struct CacheList {
  CacheFolder place;
  bool json = false;

  compat::CommandSpec spec() {
    return {"btm cache list",
            "Shows what the score cache holds: experts' scores of data sets, which make another "
            "prior cheap, and digests of their checkpoints.",
            {},
            {{"Output", {place.flag(), compat::flag_switch("json", json, "as JSON")}}},
            {}};
  }

  int run() {
    place.check();
    const std::vector<KindSum> sums = sums_of(cached_files(place.folder));
    if (json) {
      nlohmann::ordered_json all{{"folder", place.folder}};
      for (const KindSum& sum : sums)
        all[std::string(sum.name)] = {{"files", sum.files}, {"bytes", sum.bytes}};
      std::cout << all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
      return 0;
    }
    Table table{{{"what"}, {"files", true}, {"MB", true}}, {}};
    for (const KindSum& sum : sums)
      table.rows.push_back(
          {std::string(sum.name), std::to_string(sum.files), megabytes(sum.bytes)});
    std::cout << to_text(table, compat::table_width()) << "in " << place.folder << "\n";
    return 0;
  }
};

struct CacheClear {
  CacheFolder place;
  std::string what = "all";
  double older_than = 0;

  compat::CommandSpec spec() {
    return {
        "btm cache clear",
        "Removes what the score cache holds; it is computed again when it is needed. Other "
        "files in the folder stay.",
        {},
        {{"What",
          {place.flag(),
           compat::flag_choice("what", what, {"all", "scores", "digests"}, "which files to remove"),
           compat::flag_real("older-than", "DAYS", older_than,
                             "only files that were not used for so many days", 0, 1e5)}}},
        {}};
  }

  int run() {
    place.check();
    std::vector<CachedFile> files = cached_files(place.folder);
    const auto age = std::chrono::duration<double, std::ratio<86400>>(older_than);
    const auto now = std::filesystem::file_time_type::clock::now();
    std::erase_if(files, [&](const CachedFile& file) {
      // A temporary file may be of a run that is writing it.
      if (file.kind == CacheKind::kTemporary && now - file.used < std::chrono::hours(24))
        return true;
      return (what == "scores" && file.kind != CacheKind::kScores) ||
             (what == "digests" && file.kind != CacheKind::kDigest) ||
             (older_than > 0 && now - file.used < age);
    });
    const std::uint64_t freed = remove_cached(place.folder, files);
    std::cout << "freed " << megabytes(freed) << " MB in " << place.folder << "\n";
    return 0;
  }
};

constexpr std::array kCacheCommands{
    compat::command_of<CacheList>("list", "what the cache holds"),
    compat::command_of<CacheClear>("clear", "remove scores and digests"),
};

}  // namespace

std::span<const compat::Command> cache_commands() { return kCacheCommands; }

}  // namespace btm
