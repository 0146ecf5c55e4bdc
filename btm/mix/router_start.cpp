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
#include "btm/mix/route_text.h"
#include "btm/mixing/posterior.h"
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

DomainText read_text(const RouterData& from, const std::vector<compat::NamedModel>& experts,
                     std::int64_t positions) {
  if (from.folder.empty())
    throw compat::UsageError("--router domain and posterior read text: --data DIR is missing");
  DomainText text;
  for (const compat::NamedModel& expert : experts) {
    select_domains(from.folder, expert.name, "--data");  // refuses a name without a folder
    text.data.push_back(open_domain(from.folder, expert.name, from.split, positions, kRowsRead,
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

/// What the routers see: by domain and layer, [tokens, C].
std::vector<std::vector<at::Tensor>> inputs_of(const TransformerLM& mixture, const DomainText& text,
                                               at::Device device) {
  std::vector<std::vector<at::Tensor>> inputs;
  for (const std::vector<Batch>& batches : text.batches) {
    std::vector<std::vector<at::Tensor>> by_layer;
    for (const Batch& batch : batches) {
      const std::vector<RoutingRecord> records = route(mixture, batch, device, true);
      by_layer.resize(records.size());
      for (std::size_t i = 0; i < records.size(); ++i)
        by_layer[i].push_back(records[i].inputs.to(at::kFloat).cpu());
    }
    inputs.emplace_back();
    for (const std::vector<at::Tensor>& parts : by_layer) inputs.back().push_back(at::cat(parts));
  }
  return inputs;
}

/// Proportional to each domain's mean less the mean of these, with logits of variance 1.
at::Tensor centred_means(const std::vector<at::Tensor>& by_domain) {
  std::vector<at::Tensor> means;
  for (const at::Tensor& inputs : by_domain) means.push_back(inputs.to(at::kDouble).mean(0));
  at::Tensor rows = at::stack(means);
  rows = rows - rows.mean(0);
  const at::Tensor logits = at::mm(at::cat(by_domain).to(at::kDouble), rows.t());
  const double size = logits.square().mean().sqrt().item<double>();
  return size > 0 ? rows / size : rows;  // one domain, or the same text twice
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
  const DomainText text = read_text(data, experts, config.max_target_positions);
  const Precision precision = precision_for(machine);
  const EvalData& first = text.data.front();
  TransformerConfig soft = config;
  soft.routing = Routing::kSoft;
  std::vector<std::vector<at::Tensor>> inputs;
  {
    // The first expert tells whether the dictionary is the models'.
    outline_model(compat::Checkpoint::open(experts.front().path), first.dictionary(),
                  first.dictionary_file());
    TransformerLM mixture(soft, first.dictionary().size());
    load_weights(mixture, tensors, experts.front().path.string(), precision);
    inputs = inputs_of(mixture, text, precision.device);
  }
  const at::Tensor targets =
      start == RouterStart::kPosterior ? posteriors_of(experts, text, machine) : at::Tensor();
  std::vector<std::vector<float>> routers;
  for (std::size_t layer = 0; layer < inputs.front().size(); ++layer) {
    std::vector<at::Tensor> by_domain;
    for (const std::vector<at::Tensor>& of_domain : inputs) by_domain.push_back(of_domain[layer]);
    const at::Tensor rows =
        (start == RouterStart::kPosterior ? fitted_rows(at::cat(by_domain), targets)
                                          : centred_means(by_domain))
            .to(at::kFloat)
            .contiguous();
    routers.emplace_back(rows.const_data_ptr<float>(), rows.const_data_ptr<float>() + rows.numel());
  }
  return routers;
}

}  // namespace btm
