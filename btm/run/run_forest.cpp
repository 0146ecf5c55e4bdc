#include "btm/run/run_forest.h"

#include <algorithm>

#include "compat/base/error.h"
#include "compat/checkpoint/forest.h"
#include "compat/fairseq/dictionary_digest.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

using compat::kExpertsOfRun;

bool has(const std::vector<std::string>& list, const std::string& name) {
  return std::ranges::find(list, name) != list.end();
}

/// The forest with its manifest; nothing without one.
std::optional<compat::Forest> forest_of(const Plan& plan) {
  std::error_code missing;
  if (!fs::exists(plan.output / kExpertsOfRun / "forest.json", missing)) return std::nullopt;
  return compat::open_forest(plan.output / kExpertsOfRun);
}

/// The sets of a data-bin's folder that an evaluation reads; empty when the split is not there.
std::vector<fs::path> sets_of(const fs::path& folder, const std::string& domain,
                              const std::string& split) {
  std::vector<fs::path> files;
  bool has_split = false;
  for (const std::string& wanted : {split, std::string("valid")})
    for (const std::string& name : {wanted + "_" + domain, wanted})
      for (const char* ending : {".bin", ".idx"}) {
        std::error_code missing;
        if (!fs::is_regular_file(folder / (name + ending), missing)) continue;
        files.push_back(folder / (name + ending));
        has_split = has_split || wanted == split;
      }
  return has_split ? files : std::vector<fs::path>{};
}

void add_brought(const Plan& plan, const compat::Forest& forest, const compat::ForestExpert& expert,
                 Lineup& lineup) {
  BroughtExpert brought{expert.name, fs::path(kExpertsOfRun) / expert.path, {}, {}};
  std::error_code missing;
  if (!fs::exists(forest.checkpoint_of(expert), missing))
    throw compat::IoError(forest.checkpoint_of(expert).string(),
                          "does not exist, and the manifest of the forest names it as " +
                              expert.name + " (btm expert remove takes it out)");
  const bool is_known = has(plan.domains, expert.domain) || !is_domain_name(expert.domain);
  const fs::path data =
      (plan.data_bin.empty() ? plan.output / "data-bin" : plan.data_bin) / expert.domain;
  if (!is_known && !has(lineup.evaluated, expert.domain))
    if (auto files = sets_of(data, expert.domain, plan.split); !files.empty()) {
      brought.own_domain = expert.domain;
      brought.data_files = std::move(files);
      lineup.evaluated.push_back(expert.domain);
    }
  std::erase(lineup.trained, expert.name);
  lineup.brought.push_back(std::move(brought));
}

compat::ForestExpert entry_of(const Plan& plan, const std::string& name) {
  const fs::path data = plan.data_bin.empty() ? plan.output / "data-bin" : plan.data_bin;
  return {.name = name,
          .domain = name,
          .path = fs::path(name) / "checkpoint_last.pt",
          .start = compat::kStartedByRun,
          .parents = {{"seed", 1}},
          .data = {},
          .valid_ppl = {},
          .dictionary = compat::known_dictionary(data / "dict.txt").sha256,
          .complete = true};
}

}  // namespace

std::vector<std::string> apply_forest(const Plan& plan, Lineup& lineup) {
  std::vector<std::string> lines;
  const auto forest = forest_of(plan);
  if (!forest) return lines;
  const std::string place = (plan.output / kExpertsOfRun).string();
  for (const compat::ForestExpert& expert : forest->experts) {
    if (expert.start == compat::kStartedByRun) continue;
    if (!expert.complete && has(lineup.trained, expert.name))
      throw compat::IoError(place, "btm expert add has begun expert '" + expert.name +
                                       "', a domain of the plan, and has not ended: repeat it, or "
                                       "take it out by btm expert remove");
    if (!expert.complete) {
      lines.push_back("expert " + expert.name + " of " + place +
                      " is not complete and takes no part (btm expert add goes on with it)");
      continue;
    }
    if (is_row_of_run(plan, expert.name))
      throw compat::IoError(place, "expert '" + expert.name +
                                       "' has the name of another row of the run's table (btm "
                                       "expert rename gives it another)");
    lines.push_back("expert " + expert.name + " of " + place + " takes part" +
                    (has(lineup.trained, expert.name) ? ", and is not trained again" : ""));
    add_brought(plan, *forest, expert, lineup);
  }
  for (const compat::ForestExpert& expert : forest->removed)
    if (std::erase(lineup.trained, expert.name) > 0)
      lines.push_back("expert " + expert.name +
                      " takes no part: btm expert remove took it out of " + place +
                      " (btm expert add brings it back)");
  if (lineup.experts().empty()) throw compat::IoError(place, "has no expert left that takes part");
  return lines;
}

void follow_rename(const Plan& plan, const std::string& old_name, const std::string& new_name) {
  const auto before = forest_of(plan);
  if (!before || before->find(old_name) == nullptr || before->find(new_name) != nullptr) return;
  compat::change_forest(plan.output / kExpertsOfRun, [&](compat::Forest& forest) {
    for (auto* const list : {&forest.experts, &forest.removed})
      for (compat::ForestExpert& expert : *list) {
        for (compat::ForestParent& parent : expert.parents)
          if (expert.start != "checkpoint" && parent.model == old_name) parent.model = new_name;
        if (expert.name != old_name || expert.start != compat::kStartedByRun) continue;
        expert.name = new_name;
        expert.domain = new_name;
        expert.path = fs::path(new_name) / expert.path.filename();
      }
  });
}

void enter_experts(const Plan& plan, const Lineup& lineup, const std::vector<std::string>& done) {
  const auto before = forest_of(plan);
  const auto is_stale = [&](const compat::ForestExpert& expert) {
    return expert.start == compat::kStartedByRun && !has(lineup.trained, expert.name);
  };
  const auto is_missing = [&](const std::string& name) { return before->find(name) == nullptr; };
  if (before && std::ranges::none_of(before->experts, is_stale) &&
      std::ranges::none_of(done, is_missing))
    return;
  if (done.empty() && !before) return;
  compat::change_forest(plan.output / kExpertsOfRun, [&](compat::Forest& forest) {
    if (!forest.has_manifest) forest.experts.clear();  // half-trained ones among them
    std::erase_if(forest.experts, is_stale);
    for (const std::string& name : done)
      if (forest.find(name) == nullptr) forest.experts.push_back(entry_of(plan, name));
  });
}

}  // namespace btm
