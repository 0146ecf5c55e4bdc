#include "btm/trainer/demix_checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/torch/torch_file.h"

namespace btm {
namespace {

using compat::PickleArena;
using compat::PickleDict;
using compat::PickleNode;

const std::string* key_of(const std::pair<PickleNode*, PickleNode*>& item) {
  return item.first->get_if<std::string>();
}

/// A copy of a dict in which each value is what `keep` returns for the entry; null leaves it out.
PickleNode* filtered(
    PickleArena& arena, const PickleNode& dict,
    const std::function<PickleNode*(const std::string& key, PickleNode* value)>& keep) {
  PickleDict copy;
  for (const auto& item : dict.get_if<PickleDict>()->items)
    if (PickleNode* const value = keep(*key_of(item), item.second))
      copy.items.emplace_back(item.first, value);
  return arena.make(std::move(copy));
}

/// The optimizer state of the parameters whose indices are in `indices`.
PickleNode* optimizer_part(PickleArena& arena, const PickleNode& optimizer,
                           const std::set<std::int64_t>& indices) {
  return filtered(arena, optimizer, [&](const std::string& key, PickleNode* value) {
    if (key != "state") return value;
    PickleDict entries;
    for (const auto& item : value->get_if<PickleDict>()->items)
      if (indices.contains(*item.first->get_if<std::int64_t>())) entries.items.push_back(item);
    return arena.make(std::move(entries));
  });
}

/// num_updates of the last entry of optimizer_history.
std::optional<std::int64_t> num_updates(const PickleNode* history) {
  const auto* list = history == nullptr ? nullptr : history->get_if<compat::PickleList>();
  const PickleNode* const last =
      list == nullptr || list->items.empty() ? nullptr : list->items.back();
  const PickleNode* const count = last == nullptr ? nullptr : last->find("num_updates");
  const auto* number = count == nullptr ? nullptr : count->get_if<std::int64_t>();
  return number == nullptr ? std::nullopt : std::optional(*number);
}

std::string text_of(std::optional<std::int64_t> updates) {
  return updates ? std::to_string(*updates) : "unknown";
}

/// What earlier versions of this program left of a save that did not end, and what to do about it.
std::string remedy_beside(const std::string& checkpoint) {
  constexpr std::string_view kEnding = ".pt.new";
  std::vector<std::string> names;
  std::error_code ignored;
  const auto folder = std::filesystem::path(checkpoint).parent_path();
  for (const auto& entry :
       std::filesystem::directory_iterator(folder.empty() ? "." : folder, ignored))
    if (const std::string name = entry.path().filename().string(); name.ends_with(kEnding))
      names.push_back(compat::printable(name));
  if (names.empty()) return {};
  std::ranges::sort(names);
  std::string text = "an earlier version was interrupted while it replaced them. Rename ";
  for (const std::string& name : names) text += (&name == names.data() ? "" : ", ") + name;
  return text + " to the same names without .new to finish that, or ";
}

}  // namespace

compat::PickleTree demix_part(const compat::PickleTree& whole,
                              const std::vector<std::string>& parameters,
                              const std::function<bool(const std::string& parameter)>& is_expert,
                              DemixPart part) {
  const bool wanted = part == DemixPart::kExpert;
  std::set<std::string> expert_names;
  std::set<std::int64_t> indices;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const bool expert = is_expert(parameters[i]);
    if (expert) expert_names.insert(parameters[i]);
    if (expert == wanted) indices.insert(static_cast<std::int64_t>(i));
  }
  compat::NamedTensors model;
  for (const auto& item : compat::model_tensors(*whole.root, "checkpoint"))
    if (expert_names.contains(item.first) == wanted) model.push_back(item);

  compat::PickleTree tree{std::make_shared<PickleArena>(), nullptr};
  PickleArena& arena = *tree.arena;
  arena.keep(whole.arena);
  PickleNode* const root =
      filtered(arena, *whole.root, [&](const std::string& key, PickleNode* value) -> PickleNode* {
        if (key == "task_state" || key == "criterion") return nullptr;
        if (key == "last_optimizer_state") return optimizer_part(arena, *value, indices);
        if (key == "extra_state" && !wanted)
          return filtered(arena, *value, [](const std::string& inner, PickleNode* kept) {
            return inner == "btm" ? nullptr : kept;
          });
        return value;
      });
  tree.root = compat::with_model(arena, *root, model);
  return tree;
}

void check_same_update(const compat::Checkpoint* checkpoint, Communicator& world) {
  const std::string own =
      checkpoint == nullptr
          ? "no file"
          : "update " + text_of(num_updates(checkpoint->find_entry("optimizer_history")));
  std::string problem;
  for (const std::string& file :
       checkpoint == nullptr ? std::vector<std::string>{} : checkpoint->files()) {
    if (file == checkpoint->path()) continue;
    const compat::TorchFile shared = compat::load_torch_file(file);
    const std::string theirs =
        "update " + text_of(num_updates(shared.tree.root->find("optimizer_history")));
    if (theirs != own)
      problem = compat::printable(checkpoint->path(), 4096) + " is from " + own + ", " +
                compat::printable(file, 4096) + " of " + theirs;
  }
  const std::string remedy = checkpoint == nullptr ? "" : remedy_beside(checkpoint->path());
  const std::vector<std::string> all = world.all_gather(own + "\n" + problem);
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const std::string state = all[rank].substr(0, all[rank].find('\n')),
                      first = all[0].substr(0, all[0].find('\n'));
    problem = all[rank].substr(state.size() + 1);
    if (problem.empty() && state != first)
      problem = compat::concat("rank 0 starts from ", first, ", rank ", rank, " from ", state);
    if (!problem.empty())
      throw compat::UnsupportedError(problem + ": these files were saved at different updates; " +
                                     remedy + "give --restore-file an older checkpoint");
  }
}

}  // namespace btm
