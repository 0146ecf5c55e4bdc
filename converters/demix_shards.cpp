#include "converters/demix_shards.h"

#include <algorithm>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/shard_name.h"
#include "compat/fairseq/network_settings.h"
#include "compat/io/atomic_file.h"

namespace converters {
namespace {

namespace fs = std::filesystem;
using compat::Checkpoint;

bool is_expert_part(const std::string& name) {
  return name.find(".fc1.") != std::string::npos || name.find(".fc2.") != std::string::npos;
}

bool same_bytes(const compat::TensorView& a, const compat::TensorView& b) {
  if (a.dtype() != b.dtype() || a.shape != b.shape) return false;
  std::vector<std::byte> scratch_a, scratch_b;
  const bool same =
      std::ranges::equal(a.contiguous_bytes(scratch_a), b.contiguous_bytes(scratch_b));
  a.storage->release_pages();
  b.storage->release_pages();
  return same;
}

/// FormatError unless `expert` has the names and shapes of `base`. With `same_rest` the shared
/// tensors must also have equal values.
void check_expert(const Checkpoint& expert, const Checkpoint& base, bool same_rest) {
  const auto fail = [&](const std::string& problem) {
    throw compat::FormatError({expert.path(), "model", {}},
                              problem + " " + compat::printable(base.path(), 4096));
  };
  compat::check_same_dictionary(expert.dictionary(), base.dictionary());
  if (const std::string other = compat::written_difference(expert.config(), base.config());
      !other.empty())
    throw compat::FormatError({expert.path(), "cfg.model", {}},
                              other + " as in " + compat::printable(base.path(), 4096));
  if (expert.model().size() != base.model().size())
    fail(compat::concat("has ", expert.model().size(), " tensors, expected ", base.model().size(),
                        " as in"));
  for (const auto& [name, view] : expert.model()) {
    const compat::TensorView* const other = base.find(name);
    if (other == nullptr || other->shape != view.shape)
      fail("'" + compat::printable(name) + "' is missing or has another shape in");
    if (same_rest && !is_expert_part(name) && !same_bytes(view, *other))
      fail("'" + compat::printable(name) +
           "' is to be shared, but differs (--shared names the checkpoint to take it from) from");
  }
}

void write_half(const Checkpoint& from, bool expert_part, const fs::path& path) {
  compat::PickleArena arena;
  compat::NamedTensors model;
  for (const auto& item : from.model())
    if (is_expert_part(item.first) == expert_part) model.push_back(item);
  compat::PickleNode* const root = compat::with_model(arena, from.root(), model);
  std::erase_if(root->get_if<compat::PickleDict>()->items, [](const auto& item) {
    const auto* key = item.first->template get_if<std::string>();
    return key != nullptr && *key == "last_optimizer_state";
  });
  compat::save_checkpoint(path, *root);
}

}  // namespace

void write_demix_shards(const std::vector<fs::path>& experts, const fs::path& shared,
                        const fs::path& prefix, bool overwrite) {
  const auto shard_path = [&](std::size_t i) {
    return compat::concat(prefix.string(), "-rank-", i, ".pt");
  };
  for (std::size_t i = 0; i <= experts.size(); ++i)
    compat::check_new_output(i < experts.size() ? shard_path(i) : prefix.string() + "-shared.pt",
                             overwrite);
  const Checkpoint base = Checkpoint::open(shared.empty() ? experts.front() : shared);
  for (const fs::path& path : experts) check_expert(Checkpoint::open(path), base, shared.empty());
  for (std::size_t i = 0; i < experts.size(); ++i)
    write_half(Checkpoint::open(experts[i]), true, shard_path(i));
  write_half(base, false, prefix.string() + "-shared.pt");
}

}  // namespace converters
