#include "btm/cli/expert_life.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <utility>
#include <vector>

#include "compat/base/error.h"
#include "compat/base/nearest_name.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/checkpoint/forest.h"
#include "compat/io/file_lock.h"
#include "compat/program/command_line.h"

namespace btm {
namespace {

namespace fs = std::filesystem;
using compat::UsageError;

constexpr const char* kCheckpointName = "checkpoint_last.pt";

std::string place_text(const fs::path& folder) { return compat::printable(folder.string(), 4096); }

/// Taken up: as it was when it was removed, or from its folder alone.
compat::ForestExpert found_expert(const compat::Forest& forest, const std::string& name,
                                  const std::string& domain) {
  const auto removed = std::ranges::find(forest.removed, name, &compat::ForestExpert::name);
  compat::ForestExpert expert{.name = name,
                              .domain = domain,
                              .path = fs::path(name) / kCheckpointName,
                              .start = {},
                              .parents = {},
                              .data = {},
                              .valid_ppl = {}};
  if (removed != forest.removed.end()) expert = *removed;
  if (!fs::exists(forest.checkpoint_of(expert)))
    throw UsageError("missing TEXT or --data: no expert '" + name + "' was removed from " +
                     place_text(forest.folder) + ", nor is there a " + name + "/" +
                     kCheckpointName + " to take up");
  expert.dictionary = compat::Checkpoint::open(forest.checkpoint_of(expert)).dictionary().sha256;
  return expert;
}

bool ends_with(const fs::path& whole, const fs::path& end) {
  const std::vector<fs::path> parts(whole.begin(), whole.end()), last(end.begin(), end.end());
  return last.size() <= parts.size() && std::equal(last.rbegin(), last.rend(), parts.rbegin());
}

/// Whether a path of the manifest is `now`, as expert_life.h says.
bool is_moved_to(const std::string& recorded, const std::string& now, const fs::path& forest) {
  if (recorded == now) return true;
  std::error_code missing;
  if (fs::exists(recorded, missing)) return false;
  const fs::path folder = fs::weakly_canonical(forest);
  return std::ranges::any_of(std::array{folder, folder.parent_path()}, [&](const fs::path& base) {
    const fs::path rest = fs::path(now).lexically_relative(base);
    return !rest.empty() && *rest.begin() != ".." && *rest.begin() != "." &&
           ends_with(recorded, rest);
  });
}

/// The path of a file in the folder of an expert, behind its new name; other paths stay.
std::string in_renamed_folder(const std::string& path, const fs::path& forest,
                              const std::string& old_name, const std::string& new_name) {
  const fs::path whole = fs::weakly_canonical(forest), recorded = path;
  for (auto part = recorded.begin(); part != recorded.end(); ++part) {
    if (*part != old_name) continue;
    fs::path rest;
    for (auto next = std::next(part); next != recorded.end(); ++next) rest /= *next;
    if (!rest.empty() && is_moved_to(path, (whole / old_name / rest).string(), whole))
      return (whole / new_name / rest).string();
  }
  return path;
}

}  // namespace

void check_same_data(const compat::ForestExpert& known, const std::string& data,
                     const fs::path& forest) {
  if (!is_moved_to(known.data, data, forest))
    throw UsageError("expert '" + known.name + "' was started with --data " +
                     place_text(known.data) + ", found " + place_text(data));
}

void check_same_start(const compat::ForestExpert& known, const std::string& kind,
                      const std::string& model, const fs::path& forest) {
  const auto is_same = [&](const std::string& parent) {
    return parent == model || (kind == "checkpoint" && is_moved_to(parent, model, forest));
  };
  if (kind != known.start ||
      (!model.empty() && (known.parents.empty() || !is_same(known.parents.front().model))))
    throw UsageError("expert '" + known.name + "' was started with another --from (" + known.start +
                     "); remove it first");
}

bool take_paths_of_now(compat::Forest& forest, const std::string& name, const std::string& data,
                       const std::string& model) {
  compat::ForestExpert* const expert = forest.find(name);
  if (expert == nullptr) return false;
  bool is_new = std::exchange(expert->data, data) != data;
  if (!model.empty() && !expert->parents.empty())
    is_new |= std::exchange(expert->parents.front().model, model) != model;
  return is_new;
}

void check_not_foreign(const compat::Forest& forest, const std::string& name) {
  const compat::ForestExpert* const known = forest.find(name);
  if (known == nullptr) return;
  if (known->start.empty())
    throw UsageError("expert '" + name + "' was not made by btm expert add; take another --name");
  if (known->start == compat::kStartedByRun)
    throw UsageError("expert '" + name + "' is made by btm run; take another --name");
}

int take_up_expert(const ExpertAddOptions& options) {
  const std::string name = options.name.empty() ? options.domain : options.name;
  compat::check_expert_name(name);
  if (!options.train_flags.empty() || !options.from.empty())
    throw UsageError("missing TEXT or --data");
  const compat::Forest forest = compat::open_forest(options.forest);
  if (const compat::ForestExpert* known = forest.find(name)) {
    if (!known->complete)
      throw UsageError("missing TEXT or --data: the addition of '" + name + "' has not ended");
    std::cout << name << " is in the forest already" << std::endl;
    return 0;
  }
  const compat::ForestExpert expert = found_expert(forest, name, options.domain);
  for (const compat::ForestExpert& other : forest.experts)
    if (other.complete && fs::exists(forest.checkpoint_of(other)))
      compat::check_same_dictionary(dictionary_of(forest, expert), dictionary_of(forest, other));
  compat::change_forest(options.forest, [&](compat::Forest& now) {
    if (now.find(name) != nullptr)
      throw UsageError("expert '" + name + "' has been added by another process");
    std::erase_if(now.removed,
                  [&](const compat::ForestExpert& other) { return other.name == name; });
    now.experts.push_back(expert);
  });
  std::cout << name << " " << forest.checkpoint_of(expert).string()
            << (expert.complete ? " is in the forest again, nothing was trained"
                                : " is in the forest again; its training is to be continued")
            << std::endl;
  return 0;
}

void rename_expert(const fs::path& named, const std::string& old_name,
                   const std::string& new_name) {
  const fs::path folder = compat::forest_folder(named);
  compat::check_expert_name(old_name);
  compat::check_expert_name(new_name);
  const compat::Forest forest = compat::open_forest(folder);
  const compat::ForestExpert* expert = forest.find(old_name);
  if (expert == nullptr) {
    std::vector<std::string> names;
    for (const compat::ForestExpert& other : forest.experts) names.push_back(other.name);
    const std::string near = compat::nearest_name(old_name, names);
    throw UsageError("no expert '" + old_name + "' in " + place_text(folder) +
                     (near.empty() ? "" : ", did you mean " + near + "?"));
  }
  if (expert->start == compat::kStartedByRun)
    throw UsageError("expert '" + old_name +
                     "' is made by btm run: rename its domain in the plan, and nothing is trained "
                     "again");
  if (expert->path.parent_path() != old_name)
    throw UsageError("expert '" + old_name + "' is " +
                     compat::printable(expert->path.string(), 4096) +
                     ", not in a folder of its own");
  if (forest.find(new_name) != nullptr || fs::exists(folder / new_name))
    throw UsageError("'" + new_name + "' is there already in " + place_text(folder));
  std::optional<compat::FileLock> lock;
  if (fs::exists(folder / old_name / ".lock"))
    lock.emplace(compat::FileLock::now(folder / old_name / ".lock"));
  fs::rename(folder / old_name, folder / new_name);
  try {
    compat::change_forest(folder, [&](compat::Forest& now) {
      if (!now.has_manifest) now = forest;
      for (compat::ForestExpert& other : now.experts) {
        other.data = in_renamed_folder(other.data, folder, old_name, new_name);
        for (compat::ForestParent& parent : other.parents)
          if (other.start == "checkpoint")
            parent.model = in_renamed_folder(parent.model, folder, old_name, new_name);
          else if (parent.model == old_name)
            parent.model = new_name;
        if (other.name != old_name) continue;
        other.path = fs::path(new_name) / other.path.filename();
        other.name = new_name;
      }
      std::erase_if(now.removed,
                    [&](const compat::ForestExpert& other) { return other.name == new_name; });
    });
  } catch (...) {
    std::error_code kept;
    fs::rename(folder / new_name, folder / old_name, kept);
    throw;
  }
}

}  // namespace btm
