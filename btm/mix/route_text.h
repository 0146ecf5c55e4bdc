// The text of a domain, and what a mixture's routers do with it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "btm/data/batches.h"
#include "btm/evaluator/eval_data.h"
#include "btm/model/transformer_lm.h"

namespace btm {

/// What the routers of all layers did with the scored tokens of a batch, one record for each layer
/// with a router. With `keeps_inputs` the records hold what the routers saw.
std::vector<RoutingRecord> route(const TransformerLM& model, const Batch& batch, at::Device device,
                                 bool keeps_inputs);

/// A domain's split cut into samples of the models' length, in batches of `batch_size`.
EvalData open_domain(const std::string& folder, const std::string& domain, const std::string& split,
                     std::int64_t positions, std::int64_t batch_size,
                     const std::function<void(const std::string&)>& warn);

}  // namespace btm
