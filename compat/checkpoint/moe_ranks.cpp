#include "compat/checkpoint/moe_ranks.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/shard_name.h"
#include "compat/fairseq/network_settings.h"
#include "compat/torch/torch_file.h"

namespace compat {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostExperts = 4096;

/// "decoder.layers.3.moe_layer.experts.1.fc1.bias" as layer 3, expert 1 and "fc1.bias".
struct ExpertTensor {
  std::int64_t layer = 0, expert = 0;
  std::string part;
};

/// The digits at the start of `text`, which are taken off; nothing where there are none, or more
/// than any model has.
std::optional<std::int64_t> leading_number(std::string_view& text) {
  constexpr std::size_t kMostDigits = 6;
  const std::size_t end = std::min(text.find('.'), text.size());
  const auto number =
      end > kMostDigits ? std::nullopt : number_of<std::int64_t>(text.substr(0, end));
  // Another spelling of the same number would hide a tensor that is given twice.
  if (!number || *number < 0 || std::to_string(*number) != text.substr(0, end)) return std::nullopt;
  text.remove_prefix(end);
  return number;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<ExpertTensor> expert_tensor(std::string_view name) {
  if (!take(name, "decoder.layers.")) return std::nullopt;
  const auto layer = leading_number(name);
  if (!layer || !take(name, ".moe_layer.experts.")) return std::nullopt;
  const auto expert = leading_number(name);
  if (!expert || !take(name, ".") || name.empty()) return std::nullopt;
  return ExpertTensor{*layer, *expert, std::string(name)};
}

[[noreturn]] void fail(const MoeRank& rank, const std::string& problem) {
  throw FormatError({rank.file, "model", {}}, problem);
}

/// The tensors of one layer of a rank by expert, each expert's in file order.
using LayerExperts = std::map<std::int64_t, NamedTensors>;

/// Experts by layer. Every name is that of the whole model, where `first` is the rank's first.
std::map<std::int64_t, LayerExperts> experts_of(const MoeRank& rank, std::int64_t first,
                                                std::int64_t count) {
  std::map<std::int64_t, LayerExperts> layers;
  for (const auto& [name, view] : rank.model) {
    const auto tensor = expert_tensor(name);
    if (!tensor)
      fail(rank, "holds '" + printable(name) +
                     "', expected tensors of experts alone (decoder.layers.N.moe_layer.experts.I)");
    if (tensor->expert >= count)
      fail(rank, concat("holds '", printable(name), "', expected experts 0 to ", count - 1,
                        " in each of the ranks"));
    layers[tensor->layer][first + tensor->expert].emplace_back(
        concat("decoder.layers.", tensor->layer, ".moe_layer.experts.", first + tensor->expert, '.',
               tensor->part),
        view);
  }
  return layers;
}

/// FormatError where `rank` has not the tensors of `first`, in names and shapes.
void check_alike(const MoeRank& rank, const MoeRank& first) {
  std::map<std::string_view, const TensorView*> expected;
  for (const auto& [name, view] : first.model) expected.emplace(name, &view);
  for (const auto& [name, view] : rank.model) {
    const auto found = expected.find(name);
    if (found == expected.end())
      fail(rank, "holds '" + printable(name) + "', which " + printable(first.file, 4096) +
                     " does not hold");
    if (found->second->shape != view.shape)
      fail(rank, "holds '" + printable(name) + "' of shape " + shape_text(view.shape) +
                     ", expected " + shape_text(found->second->shape) + " as in " +
                     printable(first.file, 4096));
    expected.erase(found);
  }
  if (!expected.empty())
    fail(rank, "has no '" + printable(std::string(expected.begin()->first)) + "', which " +
                   printable(first.file, 4096) + " holds");
}

}  // namespace

bool is_moe_rank(const Config& config) {
  return config.get_int("model", kMoeFreqKey, 0) > 0 &&
         !config.get_bool("model", "desynchronize", false);
}

bool is_moe_rank(const fs::path& path) {
  try {
    const TorchFile file = load_torch_file(path);
    const PickleNode& root = *file.tree.root;
    return is_moe_rank(Config::from_checkpoint(root.find("cfg"), root.find("args"), file.path));
  } catch (const FormatError&) {
  } catch (const UnsupportedError&) {
  }
  return false;
}

std::vector<fs::path> moe_rank_files(const fs::path& path) {
  const std::string stem = shard_name(path)->stem;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::map<std::size_t, fs::path> ranks;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (const auto name = shard_name(entry->path()); name && name->stem == stem)
      ranks[name->rank] = path.parent_path() / entry->path().filename();
  if (error) throw IoError(folder.string(), "cannot list", error.value());
  if (std::cmp_greater(ranks.size(), kMostExperts))
    throw FormatError({path.string(), {}, {}}, concat("is one of ", ranks.size(),
                                                      " ranks, expected at most ", kMostExperts));
  std::vector<fs::path> files;
  for (const auto& [number, file] : ranks) {
    if (number != files.size())
      throw FormatError({path.string(), {}, {}}, concat("is a rank of a mixture without ", stem,
                                                        "-rank-", files.size(), ".pt beside it"));
    files.push_back(file);
  }
  return files;
}

NamedTensors joined_experts(std::span<const MoeRank> ranks) {
  const MoeRank& first = ranks.front();
  const auto count = std::ssize(ranks);
  if (first.experts < 1 || first.experts > kMostExperts || first.experts % count != 0)
    throw FormatError({first.file, concat("cfg.model.", kMoeExpertCountKey), {}},
                      concat("is ", first.experts, ", expected a multiple of ", count,
                             ", the number of its ranks, up to ", kMostExperts));
  std::map<std::int64_t, LayerExperts> layers;
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const MoeRank& rank = ranks[r];
    if (rank.experts != first.experts)
      throw FormatError({rank.file, concat("cfg.model.", kMoeExpertCountKey), {}},
                        concat("is ", rank.experts, ", expected ", first.experts, " as in ",
                               printable(first.file, 4096)));
    const std::int64_t own = first.experts / count;
    auto of_rank = experts_of(rank, static_cast<std::int64_t>(r) * own, own);
    if (r > 0) check_alike(rank, first);
    for (auto& [layer, experts] : of_rank) layers[layer].merge(experts);
  }
  NamedTensors joined;
  for (const auto& [layer, experts] : layers)
    for (const auto& [number, tensors] : experts)
      joined.insert(joined.end(), tensors.begin(), tensors.end());
  return joined;
}

}  // namespace compat
