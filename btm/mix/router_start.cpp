#include "btm/mix/router_start.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "btm/data/multidomain.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/mix/mixture_tensors.h"
#include "btm/mix/route_text.h"
#include "btm/mixing/posterior.h"
#include "btm/model/tensor_bridge.h"
#include "btm/model/weights.h"
#include "compat/base/error.h"

namespace btm {
namespace {

constexpr std::int64_t kRowsRead =
    2;  ///< samples in a batch: a soft router runs every expert on it

/// The text of all domains, as batches.
struct DomainText {
  std::vector<EvalData> data;               ///< by domain
  std::vector<std::vector<Batch>> batches;  ///< by domain
};

DomainText read_text(const RouterData& from, const std::vector<std::string>& domains,
                     std::int64_t positions) {
  DomainText text;
  for (const std::string& domain : domains) {
    select_domains(from.folder, domain, "--data");  // refuses a name without a folder
    text.data.push_back(open_domain(from.folder, domain, from.split, positions, kRowsRead,
                                    [](const std::string&) {}));
    text.batches.emplace_back();
    BatchReader reader(text.data.back());
    std::int64_t tokens = 0;
    for (Batch batch; tokens < from.tokens && reader.next(batch);) {
      tokens += batch.num_tokens;
      text.batches.back().push_back(batch);
    }
  }
  return text;
}

/// What the routers of the mixture with these tensors see: by domain and layer, [tokens, C].
/// `model` has its dictionary.
std::vector<std::vector<at::Tensor>> inputs_of(const compat::Checkpoint& model,
                                               const TransformerConfig& config,
                                               const compat::NamedTensors& tensors,
                                               const DomainText& text,
                                               const MachineOptions& machine) {
  const EvalData& first = text.data.front();
  outline_model(model, first.dictionary(), first.dictionary_file());
  const Precision precision = precision_for(machine);
  TransformerLM mixture(config, first.dictionary().size());
  load_weights(mixture, tensors, model.path(), precision);
  std::vector<std::vector<at::Tensor>> inputs;
  for (const std::vector<Batch>& batches : text.batches) {
    std::vector<std::vector<at::Tensor>> by_layer;
    for (const Batch& batch : batches) {
      const std::vector<RoutingRecord> records = route(mixture, batch, precision.device, true);
      by_layer.resize(records.size());
      for (std::size_t i = 0; i < records.size(); ++i)
        by_layer[i].push_back(records[i].inputs.to(at::kFloat).cpu());
    }
    inputs.emplace_back();
    for (const std::vector<at::Tensor>& parts : by_layer) inputs.back().push_back(at::cat(parts));
  }
  return inputs;
}

/// Each domain's mean less the mean of these: [domains, C] fp64.
at::Tensor centred_means(const std::vector<at::Tensor>& by_domain) {
  std::vector<at::Tensor> means;
  for (const at::Tensor& inputs : by_domain) means.push_back(inputs.to(at::kDouble).mean(0));
  const at::Tensor rows = at::stack(means);
  return rows - rows.mean(0);
}

/// The root mean square of the logits that rows [E, C] give the inputs [N, C].
double logit_size(const at::Tensor& inputs, const at::Tensor& rows) {
  return at::mm(inputs, rows.t()).square().mean().sqrt().item<double>();
}

/// `rows` with logits of the root mean square `size`. As they are where their logits are 0: one
/// domain, or the same text twice.
at::Tensor of_logit_size(const at::Tensor& inputs, const at::Tensor& rows, double size) {
  const double now = logit_size(inputs, rows);
  return now > 0 ? rows * (size / now) : rows;
}

std::vector<float> floats_of(const at::Tensor& rows) {
  const at::Tensor values = rows.to(at::kFloat).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

/// By domain: what the router of `layer` saw.
std::vector<at::Tensor> of_layer(const std::vector<std::vector<at::Tensor>>& inputs,
                                 std::size_t layer) {
  std::vector<at::Tensor> by_domain;
  for (const std::vector<at::Tensor>& of_domain : inputs) by_domain.push_back(of_domain[layer]);
  return by_domain;
}

/// log-probabilities of the scored tokens under an expert, by domain.
std::vector<std::vector<float>> scores_of(const compat::NamedModel& expert, const DomainText& text,
                                          const MachineOptions& machine) {
  const compat::Checkpoint checkpoint = compat::Checkpoint::open(expert.path);
  const LoadedModel loaded = load_scorer(checkpoint, machine, text.data.front());
  std::vector<std::vector<float>> scores;
  for (const std::vector<Batch>& batches : text.batches) {
    scores.emplace_back();
    for (const Batch& batch : batches) {
      const at::Tensor log_p = loaded.scorer->score(batch).contiguous();
      batch.for_each_scored([&](std::int64_t, std::size_t at) {
        scores.back().push_back(log_p.const_data_ptr<float>()[at]);
      });
    }
  }
  return scores;
}

/// The experts' weights before each scored token, in the order of inputs_of(): [tokens, E].
at::Tensor posteriors_of(const std::vector<compat::NamedModel>& experts, const DomainText& text,
                         const MachineOptions& machine) {
  std::vector<std::vector<std::vector<float>>> scores;  // [expert][domain][token]
  for (const compat::NamedModel& expert : experts)
    scores.push_back(scores_of(expert, text, machine));
  const Posterior posterior(Prior::uniform(experts.size()), PosteriorRule::kFull);
  std::vector<float> weights;
  std::vector<float> log_p(experts.size());
  for (std::size_t d = 0; d < text.batches.size(); ++d) {
    std::size_t token = 0;
    for (const Batch& batch : text.batches[d])
      for (std::int64_t row = 0; row < batch.rows; ++row) {
        Posterior::State state = posterior.start();
        batch.for_each_scored_of(row, [&](std::int64_t, std::size_t) {
          for (const double log_weight : posterior.log_weights(state))
            weights.push_back(static_cast<float>(std::exp(log_weight)));
          for (std::size_t e = 0; e < experts.size(); ++e) log_p[e] = scores[e][d][token];
          posterior.observe(state, log_p);
          ++token;
        });
      }
  }
  const auto count = static_cast<std::int64_t>(weights.size() / experts.size());
  at::Tensor out = at::empty({count, std::ssize(experts)}, at::kFloat);
  std::ranges::copy(weights, out.mutable_data_ptr<float>());
  return out;
}

/// The largest eigenvalue of x^T x / N, by power iteration.
double largest_eigenvalue(const at::Tensor& x) {
  at::Tensor v = at::zeros({x.size(1), 1}, at::kFloat).fill_(1 / std::sqrt(x.size(1)));
  double value = 0;
  for (int i = 0; i < 30; ++i) {
    const at::Tensor next = at::mm(x.t(), at::mm(x, v)) / static_cast<double>(x.size(0));
    value = next.norm().item<double>();
    if (!(value > 0)) return 0;
    v = next / value;
  }
  return value;
}

/// Multinomial logistic regression of targets [N, E] on x [N, C] -> [E, C], by Nesterov's
/// accelerated gradient from zero. The step is 1 over a bound of the curvature.
at::Tensor fitted_rows(const at::Tensor& x, const at::Tensor& targets) {
  constexpr int kSteps = 300;
  constexpr double kDecay = 1e-3;  ///< of the squared rows, times the curvature
  const double curvature = 0.5 * largest_eigenvalue(x), count = static_cast<double>(x.size(0));
  at::Tensor rows = at::zeros({targets.size(1), x.size(1)}, at::kFloat), ahead = rows;
  if (!(curvature > 0)) return rows;
  for (int step = 0; step < kSteps; ++step) {
    const at::Tensor error = at::softmax(at::mm(x, ahead.t()), -1) - targets;
    const at::Tensor gradient = at::mm(error.t(), x) / count + ahead * (kDecay * curvature);
    const at::Tensor next = ahead - gradient / ((1 + kDecay) * curvature);
    ahead = next + (next - rows) * (static_cast<double>(step) / (step + 3));
    rows = next;
  }
  return rows;
}

}  // namespace

std::vector<float> uniform_rows(std::mt19937_64& random, std::int64_t numbers, double bound) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < numbers; ++i) {
    const double unit = static_cast<double>(random() >> 11) * 0x1p-53;  // in [0, 1)
    values.push_back(static_cast<float>(bound * (2 * unit - 1)));
  }
  return values;
}

std::vector<std::vector<float>> routers_from_text(const TransformerConfig& config,
                                                  const compat::NamedTensors& tensors,
                                                  const std::vector<compat::NamedModel>& experts,
                                                  RouterStart start, const RouterData& data,
                                                  const MachineOptions& machine) {
  const at::NoGradGuard no_grad;
  use_threads(machine);
  std::vector<std::string> domains;
  for (const compat::NamedModel& expert : experts) domains.push_back(expert.name);
  const DomainText text = read_text(data, domains, config.max_target_positions);
  TransformerConfig soft = config;
  soft.routing = Routing::kSoft;
  // The first expert tells whether the dictionary is the models'.
  const std::vector<std::vector<at::Tensor>> inputs =
      inputs_of(compat::Checkpoint::open(experts.front().path), soft, tensors, text, machine);
  const at::Tensor targets =
      start == RouterStart::kPosterior ? posteriors_of(experts, text, machine) : at::Tensor();
  std::vector<std::vector<float>> routers;
  for (std::size_t layer = 0; layer < inputs.front().size(); ++layer) {
    const std::vector<at::Tensor> by_domain = of_layer(inputs, layer);
    const at::Tensor all = at::cat(by_domain);
    routers.push_back(
        floats_of(start == RouterStart::kPosterior
                      ? fitted_rows(all, targets)
                      : of_logit_size(all.to(at::kDouble), centred_means(by_domain), 1)));
  }
  return routers;
}

std::vector<std::vector<float>> added_rows_from_text(const compat::Checkpoint& mixture,
                                                     const std::vector<std::string>& domains,
                                                     std::size_t added, const RouterData& data,
                                                     const MachineOptions& machine) {
  const at::NoGradGuard no_grad;
  use_threads(machine);
  const TransformerConfig config = TransformerConfig::from(mixture.config());
  const DomainText text = read_text(data, domains, config.max_target_positions);
  const std::vector<std::vector<at::Tensor>> inputs =
      inputs_of(mixture, config, mixture.model(), text, machine);
  std::vector<std::vector<float>> rows;
  for (std::size_t layer = 0; layer < inputs.front().size(); ++layer) {
    const std::vector<at::Tensor> by_domain = of_layer(inputs, layer);
    const at::Tensor all = at::cat(by_domain).to(at::kDouble),
                     gate = to_tensor(*mixture.find(gate_tensor(layer)), at::kDouble, at::kCPU),
                     mean = gate.mean(0);
    const at::Tensor fresh =
        centred_means(by_domain).slice(0, std::ssize(domains) - static_cast<std::int64_t>(added));
    const double size = logit_size(all, gate - mean);
    rows.push_back(floats_of(mean + of_logit_size(all, fresh, size)));
  }
  return rows;
}

}  // namespace btm
