#include "btm/model/feed_forward.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/div.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/topk.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include "btm/model/fairseq_gating.h"
#include "btm/model/few_rows.h"

namespace btm {
namespace {

at::Tensor activated(const std::string& name, const at::Tensor& x) {
  if (name == "gelu") return at::gelu(x);
  if (name == "gelu_fast" || name == "gelu_accurate") return at::gelu(x, "tanh");
  if (name == "tanh") return at::tanh(x);
  if (name == "linear") return x;
  const at::Tensor positive = at::relu(x);
  return name == "relu_squared" ? positive * positive : positive;
}

at::Tensor dense(const DenseFeedForward& layer, const at::Tensor& x, const NormBefore& norm,
                 const FeedForwardRun& run) {
  const at::Tensor hidden = recomputed_linears(x, norm, {&layer.fc1}).front();
  const auto activate = [name = run.activation](const at::Tensor& in) {
    return activated(name, in);
  };
  if (run.activation_dropout > 0)
    return product(at::dropout(activate(hidden), run.activation_dropout, /*train=*/true),
                   layer.fc2);
  return recomputed_linears(hidden, activate, {&layer.fc2}).front();
}

/// The rows of tokens in the order of their experts, and back.
struct Dispatch {
  at::Tensor order;    ///< [N k]: place n k + j of the j-th choice of token n, by expert
  at::Tensor inverse;  ///< [N k]: where a place went
  std::vector<std::int64_t> counts;  ///< [E] rows of each expert
};

Dispatch dispatch_of(const at::Tensor& chosen, std::int64_t experts) {
  const at::Tensor flat = chosen.reshape(-1);
  Dispatch to;
  to.order = at::argsort(flat, /*stable=*/true);
  to.inverse = at::argsort(to.order);
  const at::Tensor counts = at::bincount(flat, {}, experts).cpu();
  const auto* const values = counts.const_data_ptr<std::int64_t>();
  to.counts.assign(values, values + experts);
  return to;
}

/// x.index_select(0, rows), where each row of x [N, C] occurs k times in `rows` [N k]; `places`
/// says where: those of row n are places[n k], ..., places[n k + k - 1]. The backward pass gathers
/// and adds k rows, where autograd would add rows one by one.
struct SelectedRows final : torch::autograd::Node {
  at::Tensor places;
  std::int64_t times = 1;

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const at::NoGradGuard no_grad;
    if (!gradients[0].defined()) return {at::Tensor()};
    const at::Tensor back = gradients[0].index_select(0, places);
    return {times == 1 ? back : back.view({-1, times, back.size(-1)}).sum(1)};
  }
};

at::Tensor selected_rows(const at::Tensor& x, const at::Tensor& rows, const at::Tensor& places,
                         std::int64_t times) {
  at::Tensor out;
  {
    const at::NoGradGuard no_grad;
    out = x.index_select(0, rows);
  }
  if (!at::GradMode::is_enabled() || !x.requires_grad()) return out;
  const auto node = std::make_shared<SelectedRows>();
  node->set_next_edges(torch::autograd::collect_next_edges(x));
  node->places = places;
  node->times = times;
  torch::autograd::set_history(out, node);
  return out;
}

/// x [N, C] -> [N, E] fp32.
at::Tensor router_logits(const at::Tensor& gate, const at::Tensor& x) {
  const at::Tensor rows = x.to(at::kFloat), weight = gate.to(at::kFloat);
  if (at::GradMode::is_enabled() || gate.requires_grad() || !x.is_cpu())
    return at::linear(rows, weight);
  // A row's choice must not depend on the rows beside it, however many they are.
  const at::Tensor from = rows.contiguous(), matrix = weight.contiguous();
  at::Tensor out = at::empty({rows.size(0), gate.size(0)}, rows.options());
  multiply_few(from.const_data_ptr<float>(), from.size(0), matrix.const_data_ptr<float>(),
               from.size(1), matrix.size(0), nullptr, out.mutable_data_ptr<float>(),
               matrix.size(0));
  return out;
}

ExpertChoice choice_of(Routing routing, const at::Tensor& logits) {
  const std::int64_t experts = logits.size(1);
  if (routing == Routing::kSoft) {
    const at::Tensor all = at::arange(experts, logits.options().dtype(at::kLong));
    return {all.expand({logits.size(0), experts}), at::softmax(logits, -1)};
  }
  const at::Tensor chosen =
      std::get<1>(at::topk(logits.detach(), experts_per_token(routing, experts)));
  if (routing == Routing::kTop1) return {chosen, at::softmax(logits, -1).gather(1, chosen)};
  return {chosen, at::softmax(logits.gather(1, chosen), -1)};
}

void fill_in(RoutingRecord& record, Routing routing, const at::Tensor& inputs,
             const at::Tensor& all_logits, const at::Tensor& all_chosen) {
  const auto counted = [&](const at::Tensor& x) {
    return record.places.defined() ? x.index_select(0, record.places) : x;
  };
  const at::Tensor logits = counted(all_logits), probabilities = at::softmax(logits, -1);
  const std::int64_t experts = logits.size(1);
  record.tokens = logits.size(0);
  if (record.keeps_inputs) record.inputs = counted(inputs);
  record.loads = routing == Routing::kSoft
                     ? probabilities.detach().sum(0)
                     : at::bincount(counted(all_chosen).reshape(-1), {}, experts).to(at::kFloat);
  const at::Tensor shares = record.loads / record.loads.sum();
  record.balance = (shares * probabilities.mean(0)).sum() * experts;
  record.z = at::logsumexp(logits, {-1}).square().mean();
}

at::Tensor mixture(const MixtureFeedForward& layer, const at::Tensor& in, const NormBefore& norm,
                   const FeedForwardRun& run) {
  const at::Tensor x = norm(in).reshape({-1, in.size(-1)});
  const auto experts = static_cast<std::int64_t>(layer.experts.size());
  const at::Tensor logits = router_logits(layer.gate, x);
  const ExpertChoice choice =
      run.gating != nullptr ? run.gating->choose(logits) : choice_of(layer.routing, logits);
  if (run.record != nullptr) fill_in(*run.record, layer.routing, x, logits, choice.experts);
  const std::int64_t times = choice.experts.size(1);
  const Dispatch dispatch = dispatch_of(choice.experts, experts);
  const at::Tensor rows =
      selected_rows(x, at::div(dispatch.order, times, "floor"), dispatch.inverse, times);
  std::vector<at::Tensor> outputs;
  const NormBefore none = [](const at::Tensor& same) { return same; };
  std::int64_t from = 0;
  for (std::int64_t e = 0; e < experts; ++e) {
    const std::int64_t count = dispatch.counts[static_cast<std::size_t>(e)];
    if (count > 0)
      outputs.push_back(dense(layer.experts[static_cast<std::size_t>(e)],
                              rows.narrow(0, from, count), none, run));
    from += count;
  }
  const at::Tensor by_token =
      selected_rows(outputs.size() == 1 ? outputs.front() : at::cat(outputs), dispatch.inverse,
                    dispatch.order, 1)
          .view({-1, times, x.size(1)});
  const at::Tensor weights = choice.weights.to(by_token.scalar_type()).unsqueeze(-1);
  at::Tensor sum = by_token.select(1, 0) * weights.select(1, 0);
  for (std::int64_t j = 1; j < times; ++j) sum = sum + by_token.select(1, j) * weights.select(1, j);
  return sum.view(in.sizes());
}

}  // namespace

at::Tensor feed_forward(const FeedForward& layer, const at::Tensor& x, const NormBefore& norm,
                        const FeedForwardRun& run) {
  if (const auto* const experts = std::get_if<MixtureFeedForward>(&layer);
      experts != nullptr && x.numel() > 0)
    return mixture(*experts, x, norm, run);
  if (const auto* const block = std::get_if<DenseFeedForward>(&layer))
    return dense(*block, x, norm, run);
  return x;
}

}  // namespace btm
