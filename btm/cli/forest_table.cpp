#include "btm/cli/forest_table.h"

#include <nlohmann/json.hpp>
#include <ostream>

#include "btm/report/table.h"
#include "compat/base/error.h"
#include "compat/checkpoint/expert_check.h"
#include "compat/program/console.h"

namespace btm {
namespace {

std::optional<std::int64_t> updates(const compat::Forest& forest,
                                    const compat::ForestExpert& expert) {
  const std::filesystem::path checkpoint = forest.checkpoint_of(expert);
  std::error_code unknown;
  return std::filesystem::exists(checkpoint, unknown) ? compat::updates_of(checkpoint)
                                                      : std::nullopt;
}

std::string parents_text(const compat::ForestExpert& expert) {
  if (expert.parents.size() == 1) return compat::without_controls(expert.parents.front().model);
  std::string text;
  for (const compat::ForestParent& parent : expert.parents)
    text += (text.empty() ? "" : " ") + fixed(parent.weight, 3) + "*" +
            compat::without_controls(parent.model);
  return text;
}

/// The state of an expert that was taken out.
std::string removed_state(const compat::Forest& forest, const compat::ForestExpert& expert) {
  return compat::state_of(forest, expert) == "missing" ? "removed, files missing" : "removed";
}

}  // namespace

void print_forest(const compat::Forest& forest, std::ostream& out) {
  Table table{{{"name"},
               {"domain"},
               {"path"},
               {"start"},
               {"parent"},
               {"updates", true},
               {"valid ppl", true},
               {"state"}},
              {}};
  const auto add = [&](const compat::ForestExpert& expert, const std::string& state) {
    const auto count = updates(forest, expert);
    table.rows.push_back({expert.name, compat::without_controls(expert.domain),
                          compat::without_controls(expert.path.string()),
                          expert.start.empty() ? "-" : compat::without_controls(expert.start),
                          expert.parents.empty() ? "-" : parents_text(expert),
                          count ? std::to_string(*count) : "-",
                          expert.valid_ppl ? fixed(*expert.valid_ppl, 2) : "-", state});
  };
  for (const compat::ForestExpert& expert : forest.experts)
    add(expert, compat::state_of(forest, expert));
  for (const compat::ForestExpert& expert : forest.removed)
    add(expert, removed_state(forest, expert));
  out << to_text(table, compat::table_width());
}

void print_forest_json(const compat::Forest& forest, std::ostream& out) {
  using Json = nlohmann::ordered_json;
  Json experts = Json::array();
  for (const compat::ForestExpert& expert : forest.experts) {
    const auto count = updates(forest, expert);
    Json parents = Json::array();
    for (const compat::ForestParent& parent : expert.parents)
      parents.push_back({{"model", parent.model}, {"weight", parent.weight}});
    experts.push_back({{"name", expert.name},
                       {"domain", expert.domain},
                       {"path", forest.checkpoint_of(expert).string()},
                       {"start", expert.start},
                       {"parents", parents},
                       {"data", expert.data},
                       {"updates", count ? Json(*count) : Json(nullptr)},
                       {"valid_ppl", expert.valid_ppl ? Json(*expert.valid_ppl) : Json(nullptr)},
                       {compat::kDictionaryKey,
                        expert.dictionary.empty() ? Json(nullptr) : Json(expert.dictionary)},
                       {"complete", expert.complete},
                       {"state", compat::state_of(forest, expert)}});
  }
  Json removed = Json::array();
  for (const compat::ForestExpert& expert : forest.removed)
    removed.push_back({{"name", expert.name},
                       {"path", forest.checkpoint_of(expert).string()},
                       {"state", removed_state(forest, expert)}});
  const Json json{{"forest", forest.folder.string()},
                  {"manifest", forest.has_manifest},
                  {"experts", experts},
                  {"removed", removed}};
  out << json.dump(1, ' ', false, Json::error_handler_t::replace) << "\n";
}

}  // namespace btm
