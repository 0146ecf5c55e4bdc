#include "btm/mix/route_text.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "btm/data/multidomain.h"
#include "btm/model/ids_tensor.h"
#include "compat/base/text.h"

namespace btm {
namespace {

constexpr std::int64_t kSampleLength = 1024;  ///< fairseq's --tokens-per-sample, at most

}  // namespace

std::vector<RoutingRecord> route(const TransformerLM& model, const Batch& batch, at::Device device,
                                 bool keeps_inputs) {
  const at::NoGradGuard no_grad;
  std::vector<std::int64_t> places;
  batch.for_each_scored(
      [&](std::int64_t, std::size_t at) { places.push_back(static_cast<std::int64_t>(at)); });
  const at::Tensor scored = ids_tensor(places).to(device, at::kLong, false, /*copy=*/true);
  const at::Tensor tokens = ids_tensor(batch.tokens).view({batch.rows, batch.columns}).to(device);
  const bool interior = has_interior_padding(batch);
  const at::Tensor mask = TransformerLM::attention_mask(tokens, interior);
  at::Tensor x = model.embedded(tokens, {}, interior);
  std::vector<RoutingRecord> records;
  for (std::size_t i = 0; i < model.num_layers(); ++i) {
    RoutingRecord record;
    record.places = scored;
    record.keeps_inputs = keeps_inputs;
    x = model.layer(i, x, mask, {}, model.is_mixture(i) ? &record : nullptr);
    if (model.is_mixture(i)) records.push_back(std::move(record));
  }
  return records;
}

EvalData open_domain(const std::string& folder, const std::string& domain, const std::string& split,
                     std::int64_t positions, std::int64_t batch_size,
                     const std::function<void(const std::string&)>& warn) {
  EvalDataOptions options;
  options.folder = folder;
  options.task = "multidomain_language_modeling";
  options.eval_domains = domain;
  options.gen_subset = domain_split(folder, split, domain);
  options.batching.batch_size = batch_size;
  options.batching.tokens_per_sample = std::min(positions, kSampleLength);
  EvalData data(options);
  data.make_batches(
      positions, [&](const std::string& line) { warn(compat::printable(domain) + ": " + line); });
  return data;
}

}  // namespace btm
