#include "btm/mix/routing_shares.h"

#include <algorithm>
#include <filesystem>

#include "btm/data/multidomain.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/mix/route_text.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/natural_order.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/indexed_dataset.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kRows = 4;  ///< samples in a batch

std::vector<std::string> domains_of(const RoutingOptions& options) {
  std::vector<std::string> domains = select_domains(options.folder, options.domains, "--domains");
  if (!options.domains.empty()) return domains;
  std::erase_if(domains, [&](const std::string& domain) {
    const fs::path folder = fs::path(options.folder) / domain;
    return !compat::IndexedDataset::exists(folder /
                                           domain_split(options.folder, options.split, domain));
  });
  if (domains.empty())
    throw compat::IoError(options.folder,
                          "no domain has the split '" + compat::printable(options.split) + "'");
  std::ranges::sort(domains, compat::natural_less);
  return domains;
}

/// The shares of a domain's tokens, by layer.
std::vector<std::vector<double>> shares_in(const TransformerLM& model, const EvalData& data,
                                           std::int64_t most, at::Device device,
                                           std::int64_t& tokens) {
  std::vector<std::vector<double>> loads;
  BatchReader reader(data);
  for (Batch batch; (most == 0 || tokens < most) && reader.next(batch);) {
    const std::vector<RoutingRecord> records = route(model, batch, device, false);
    loads.resize(records.size());
    tokens += records.front().tokens;
    for (std::size_t layer = 0; layer < records.size(); ++layer) {
      const at::Tensor load = records[layer].loads.to(at::kDouble).cpu();
      loads[layer].resize(static_cast<std::size_t>(load.numel()));
      for (std::size_t e = 0; e < loads[layer].size(); ++e)
        loads[layer][e] += load.const_data_ptr<double>()[e];
    }
  }
  for (std::vector<double>& layer : loads) {
    double sum = 0;
    for (const double load : layer) sum += load;
    for (double& load : layer) load /= sum;
  }
  return loads;
}

}  // namespace

RoutingShares routing_shares(const RoutingOptions& options,
                             const std::function<void(const std::string&)>& warn) {
  use_threads(options.machine);
  const compat::Checkpoint checkpoint =
      compat::Checkpoint::open(compat::resolve_model(options.model).path);
  const TransformerConfig config = TransformerConfig::from(checkpoint.config());
  if (config.moe_freq == 0)
    throw compat::UsageError(compat::printable(checkpoint.path(), 4096) +
                             " has no routers, expected a mixture of experts (btm mix)");
  const std::string dictionary_file = (fs::path(options.folder) / "dict.txt").string();
  const Precision precision = precision_for(options.machine);
  const auto model =
      load_model(checkpoint, compat::Dictionary::load(dictionary_file), dictionary_file, precision);
  RoutingShares result;
  result.domains = domains_of(options);
  result.experts = config.moe_experts;
  if (result.experts.empty())
    for (std::int64_t e = 0; e < config.moe_expert_count; ++e)
      result.experts.push_back(std::to_string(e));
  result.routing = config.routing;
  for (std::size_t i = 0; i < model->num_layers(); ++i)
    if (model->is_mixture(i)) result.layers.push_back(i);
  for (const std::string& domain : result.domains) {
    const EvalData data = open_domain(options.folder, domain, options.split,
                                      config.max_target_positions, kRows, warn);
    result.tokens.push_back(0);
    result.shares.push_back(
        shares_in(*model, data, options.tokens, precision.device, result.tokens.back()));
  }
  return result;
}

}  // namespace btm
