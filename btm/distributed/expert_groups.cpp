#include "btm/distributed/expert_groups.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "btm/distributed/communicator.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

constexpr const char* kUntied[] = {
    "feedforward",    "feedforward_l2",     "feedforward_top", "transformer",
    "transformer_l2", "transformer_output", "input_output",    "all"};

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// As in the fork, by substring: of 24 layers "layers.2" also matches layer 21.
bool in_every_other_layer(std::string_view parameter, std::int64_t decoder_layers) {
  for (std::int64_t layer = 0; layer < decoder_layers; layer += 2)
    if (holds(parameter, compat::concat("layers.", layer))) return true;
  return false;
}

}  // namespace

void check_demix_options(const DemixOptions& options) {
  if (!options.desynchronize) {
    if (!options.untie_parameters.empty() || !options.data_parallel_groups.empty() ||
        !options.sync_type.empty())
      throw compat::UsageError(
          "--sync-type, --untie-parameters and --data-parallel-groups need --desynchronize");
    return;
  }
  if (options.sync_type != "none" && options.sync_type != "manual")
    throw compat::UsageError("--desynchronize needs --sync-type none or manual, found '" +
                             compat::printable(options.sync_type) + "'");
  if (options.sync_type == "manual" && options.data_parallel_groups.empty())
    throw compat::UsageError("--sync-type manual needs --data-parallel-groups \"0,1 2,3\"");
  if (options.untie_parameters == "expert_layers" || options.untie_parameters == "expert_ffn")
    throw compat::UnsupportedError("--untie-parameters " + options.untie_parameters +
                                   " needs models with added layers, which are not supported");
  if (std::find(std::begin(kUntied), std::end(kUntied), options.untie_parameters) ==
      std::end(kUntied)) {
    std::string known;
    for (const char* name : kUntied) known += std::string(known.empty() ? "" : ", ") + name;
    throw compat::UsageError("--desynchronize needs --untie-parameters, one of " + known +
                             ", found '" + compat::printable(options.untie_parameters) + "'");
  }
}

std::vector<std::vector<int>> parse_rank_groups(std::string_view text, int world_size) {
  const auto fail = [&](const std::string& problem) {
    throw compat::UsageError("--data-parallel-groups '" + compat::printable(text) + "' " + problem);
  };
  std::vector<std::vector<int>> groups;
  std::vector<bool> seen(static_cast<std::size_t>(world_size), false);
  for (std::size_t from = text.find_first_not_of(' '); from != std::string_view::npos;
       from = text.find_first_not_of(' ', from)) {
    const std::string_view word = text.substr(from, text.find(' ', from) - from);
    from += word.size();
    std::vector<int>& group = groups.emplace_back();
    for (const char* at = word.data();; ++at) {
      int rank = -1;
      const auto [end, error] = std::from_chars(at, word.data() + word.size(), rank);
      if (error != std::errc()) fail("is not of the form \"0,1 2,3\"");
      if (rank < 0 || rank >= world_size)
        fail(compat::concat("names rank ", rank, ", the run has ranks 0 to ", world_size - 1));
      if (seen[static_cast<std::size_t>(rank)]) fail(compat::concat("names rank ", rank, " twice"));
      seen[static_cast<std::size_t>(rank)] = true;
      group.push_back(rank);
      at = end;
      if (at == word.data() + word.size()) break;
      if (*at != ',') fail("is not of the form \"0,1 2,3\"");
    }
    std::sort(group.begin(), group.end());
  }
  const auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing != seen.end()) fail(compat::concat("lacks rank ", missing - seen.begin()));
  return groups;
}

bool is_adapted(const std::string& parameter) {
  return holds(parameter, "fc1") || holds(parameter, "fc2");
}

bool is_untied(std::string_view what, const std::string& parameter, std::int64_t decoder_layers) {
  const bool feedforward = is_adapted(parameter);
  if (what == "feedforward") return feedforward;
  if (what == "feedforward_l2")
    return feedforward && in_every_other_layer(parameter, decoder_layers);
  if (what == "feedforward_top")
    return feedforward && holds(parameter, compat::concat("layers.", decoder_layers - 1));
  if (what == "transformer") return holds(parameter, "layers");
  if (what == "transformer_l2") return in_every_other_layer(parameter, decoder_layers);
  if (what == "transformer_output")
    return holds(parameter, "layers") || holds(parameter, "output_projection");
  if (what == "input_output")
    return holds(parameter, "embed_tokens") || holds(parameter, "embed_positions") ||
           holds(parameter, "output_projection") || holds(parameter, "adaptive_softmax");
  return what == "all";
}

ExpertGroups::ExpertGroups(const DemixOptions& options, std::int64_t decoder_layers,
                           Communicator& world)
    : options_(options), decoder_layers_(decoder_layers), world_(world) {
  check_demix_options(options);
  std::vector<std::vector<int>> groups;
  if (options.sync_type == "none")
    for (int rank = 0; rank < world.size(); ++rank) groups.push_back({rank});
  else
    groups = parse_rank_groups(options.data_parallel_groups, world.size());
  for (const std::vector<int>& ranks : groups)
    if (std::unique_ptr<Communicator> group = world.subgroup(ranks)) own_ = std::move(group);
}

ExpertGroups::~ExpertGroups() = default;

double ExpertGroups::combined_norm(double shared, double expert) {
  const at::Tensor squares = at::full({1}, expert * expert, at::kDouble);
  world_.all_reduce(squares);
  return std::sqrt(shared * shared + squares.item<double>());
}

}  // namespace btm
