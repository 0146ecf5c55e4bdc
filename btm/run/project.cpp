#include "btm/run/project.h"

#include <algorithm>
#include <set>

#include "btm/cluster/cluster_notes.h"
#include "btm/run/build_steps.h"
#include "btm/run/run_forest.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

std::string listed(const std::vector<std::string>& names) {
  return compat::join(names, ", ", [](const std::string& name) { return compat::printable(name); });
}

const std::string& key_in(const StepGraph& graph, const std::vector<std::string>& keys,
                          const Step& step) {
  return keys[static_cast<std::size_t>(&step - graph.steps().data())];
}

RunState opened(const Plan& plan, const Project::Options& options) {
  RunState state(plan.output, options.access);
  if (options.reads_all) state.digests().forget();
  return state;
}

bool is_inside(const std::filesystem::path& file, const std::filesystem::path& folder) {
  const std::filesystem::path relative = file.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

/// FormatError for an input in the folder of a step, which is emptied before the step's work: the
/// user's file, or link, would be gone.
void check_inputs_stay(const StepGraph& graph, const std::filesystem::path& output) {
  namespace fs = std::filesystem;
  for (const Step& reader : graph.steps())
    for (const fs::path& input : reader.inputs)
      for (const Step& step : graph.steps()) {
        if (step.folder.empty()) continue;
        const fs::path folder = output / step.folder;
        if (is_inside(input.lexically_normal(), folder.lexically_normal()) ||
            is_inside(fs::weakly_canonical(input), fs::weakly_canonical(folder)))
          throw compat::FormatError(
              {input, {}, {}},
              "lies in " + compat::printable(folder.string(), 4096) + ", which step " +
                  compat::printable(step.name) +
                  " empties before it begins; expected a file outside of the steps' folders");
      }
}

}  // namespace

Project::Project(Plan plan, Options options)
    : options_(std::move(options)),
      plan_(std::move(plan)),
      state_(opened(plan_, options_)),
      founding_(read_founding(state_.founding_file())),
      digest_([this](const std::filesystem::path& file) { return state_.digests().of(file); }),
      lineup_(choose_lineup()),
      graph_(build_steps(plan_, lineup_)),
      keyed_{graph_, graph_.keys(digest_)} {}

/// The result that is taken up in place of running the step.
std::optional<RunState::Known> Project::find_known(const Step& step, const std::string& key,
                                                   const StepGraph& graph) {
  if (step.name == options_.redone) return std::nullopt;
  std::set<std::string> names;
  for (const Step& each : graph.steps()) names.insert(each.name);
  return state_.find_known(step, key, names);
}

/// Names are those of the clusters that are there or are taken up, and not of clusters that are to
/// be made anew. Steps that run later read the plan again, and they must find the same domains.
void Project::settle_cluster_names() {
  if (!plan_.has_corpus() || plan_.has_own_cluster_names) return;
  const StepGraph graph = build_steps(plan_, lineup_of(plan_));  // no key before split has names
  const Step& step = graph.at("clusters");
  const std::string key = key_in(graph, graph.keys(digest_), step);
  const auto known = find_known(step, key, graph);
  std::vector<std::string> names;
  if (step.name != options_.redone && state_.is_done(step, key))
    names = named_clusters(plan_.output, plan_.clusters);
  else if (known)
    names = named_clusters(known->folder, plan_.clusters);
  if (names.empty()) names = default_cluster_names(static_cast<std::size_t>(plan_.clusters));
  if (names == plan_.domains) return;
  notes_.push_back(known ? "earlier clusters are taken up with their names: " + listed(names)
                         : "the domains are " + listed(names) + ": the clusters that were named " +
                               listed(plan_.domains) +
                               " are made anew, and btm cluster name can name the new ones");
  try {
    plan_ = load_plan(plan_.file, names);
  } catch (const compat::FormatError& error) {
    const std::string problem = error.what() + to_string(error.where()).size() + 2;  // behind ": "
    throw compat::FormatError(error.where(), problem + ": " + notes_.back());
  }
}

/// The founders of the seed model that is there stay as long as its settings and texts do.
Lineup Project::choose_lineup() {
  check_inputs_stay(build_steps(plan_, lineup_of(plan_)), state_.output());  // then they are read
  settle_cluster_names();
  Lineup lineup = lineup_of(plan_);
  if (plan_.seed_domains.empty() && founding_) {
    const DigestOf known = with_founding(plan_, *founding_, digest_);
    Lineup founded = lineup_of(plan_, *founding_, digest_);
    const StepGraph graph = build_steps(plan_, founded);
    if (key_in(graph, graph.keys(known), graph.at("seed")) == founding_->seed_key) {
      lineup = std::move(founded);
      digest_ = known;
      if (lineup.seed_domains != plan_.experts)
        notes_.push_back("the seed model of " + listed(lineup.seed_domains) +
                         " stays, and so do its tokeniser and the dense baseline (seed_domains = "
                         "all in [train] trains them on all domains of the plan)");
    }
  }
  const std::vector<std::string> lines = apply_forest(plan_, lineup);
  notes_.insert(notes_.end(), lines.begin(), lines.end());
  return lineup;
}

const std::string& Project::key_of(const Step& step) const {
  return key_in(graph_, keyed_.keys, step);
}

std::vector<std::string> Project::states() {
  std::vector<std::string> states;
  for (const Step& step : graph_.steps()) {
    if (state_.is_done(step, key_of(step)))
      states.emplace_back("done");
    else if (const auto known = find_known(step, key_of(step), graph_))
      states.push_back("known as " + compat::printable(known->name));
    else if (state_.is_finished(step.name))
      states.emplace_back("out of date");
    else
      states.emplace_back(state_.failure_of(step.name) ? "failed" : "to do");
  }
  state_.save_digests();
  return states;
}

std::string Project::reason_of(const Step& step) {
  if (!state_.is_finished(step.name) || state_.is_done(step, key_of(step))) return {};
  if (std::string why = state_.why_not_done(step); !why.empty()) return why;
  for (const std::string& name : step.after)
    if (const Step& before = graph_.at(name); !state_.is_done(before, key_of(before)))
      return "follows " + name;
  return "its steps before changed";
}

std::vector<std::string> Project::prepare() {
  std::vector<std::string> old = state_.finished_by_earlier_versions(), aside = old, lines;
  for (const Step& step : graph_.steps())
    if (state_.is_finished(step.name) && !state_.is_done(step, key_of(step)) &&
        std::ranges::find(old, step.name) == old.end())
      aside.push_back(step.name);
  std::string reasons;  // those that are no consequences of others
  for (const Step& step : graph_.steps())
    if (std::ranges::find(aside, step.name) != aside.end() && old.empty())
      if (const std::string why = state_.why_not_done(step);
          !why.empty() && reasons.find(why) == std::string::npos)
        reasons += (reasons.empty() ? "" : "; ") + why;
  const std::filesystem::path folder = state_.set_results_aside(aside);
  for (const Step& step : graph_.steps()) {
    if (state_.is_done(step, key_of(step))) continue;
    const auto known = find_known(step, key_of(step), graph_);
    if (!known) continue;
    state_.take_up(step, *known);
    constexpr std::string_view kExpert = "expert.";
    if (known->folder == state_.output() && step.name.starts_with(kExpert) &&
        known->name.starts_with(kExpert))
      follow_rename(plan_, known->name.substr(kExpert.size()), step.name.substr(kExpert.size()));
    const std::string from = known->folder == state_.output()
                                 ? ""
                                 : "earlier/" + known->folder.filename().string() + "/";
    lines.push_back("take up " + step.name + ": it is " + from + compat::printable(known->name) +
                    ", of the same content");
  }
  state_.remove_empty_earlier();
  if (!old.empty())
    lines.push_back(
        "the steps that are finished here were made by an earlier version of btm, which knew them "
        "by paths: they are run once more under keys of content");
  std::erase_if(aside, [&](const std::string& name) {
    return !std::filesystem::exists(folder / "steps" / (name + ".json"));
  });
  if (!aside.empty())
    lines.push_back("set aside in " + folder.string() + ", as it is out of date" +
                    (reasons.empty() ? "" : " (" + reasons + ")") + ": " + listed(aside));
  state_.save_digests();
  return lines;
}

void Project::note_founding() {
  write_founding(state_.founding_file(),
                 founding_of(plan_, lineup_, key_of(graph_.at("seed")), digest_));
}

void Project::enter_done_experts() {
  std::vector<std::string> done;
  for (const std::string& name : lineup_.trained) {
    const Step& step = graph_.at("expert." + name);
    if (state_.is_done(step, key_of(step))) done.push_back(name);
  }
  enter_experts(plan_, lineup_, done);
}

}  // namespace btm
