#include "btm/model/recomputed_linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <optional>
#include <utility>

#include "btm/model/bf16_product.h"
#include "btm/model/few_rows.h"

namespace btm {
namespace {

at::Tensor as_rows(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

at::Tensor gradient_of(const at::Tensor& parameter) {
  if (!parameter.grad().defined()) parameter.mutable_grad() = at::zeros_like(parameter);
  return parameter.grad();
}

bool in_bf16(const Linear& linear) { return linear.products == Products::kBf16; }

/// Whether x [..., in] has so few rows that multiply_few() serves them. Not in training, whose
/// numbers must not depend on the size of a micro-batch.
bool is_few(const at::Tensor& x, const at::Tensor& weight) {
  return !at::GradMode::is_enabled() && !weight.requires_grad() && x.is_cpu() &&
         x.scalar_type() == at::kFloat && weight.is_contiguous() &&
         x.numel() <= kFewRows * x.size(-1);
}

at::Tensor few_linear(const at::Tensor& x, const at::Tensor& stored, const at::Tensor& bias) {
  const at::Tensor rows = as_rows(x).contiguous(), weight = stored.to(at::kFloat);
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  at::Tensor out = at::empty(shape, x.options());
  multiply_few(rows.const_data_ptr<float>(), rows.size(0), weight.const_data_ptr<float>(),
               weight.size(1), weight.size(0),
               bias.defined() ? bias.const_data_ptr<float>() : nullptr,
               out.mutable_data_ptr<float>(), weight.size(0));
  return out;
}

/// The forward product with rounded factors: x [..., in] -> [..., out].
at::Tensor bf16_linear(const at::Tensor& x, const Linear& linear) {
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = linear.weight.size(0);
  at::Tensor out = at::empty(shape, x.options());
  multiply_bf16(bf16_rows(as_rows(x)), linear.weight.t(), linear.bias, as_rows(out));
  return out;
}

/// Adds the products of the backward pass: `output` [N, out], the gradient of x weight^T + bias,
/// gives those of x [N, in] and of the weight. `gradient`, that of x, may be undefined before.
void add_gradients(const Linear& linear, const at::Tensor& x, const at::Tensor& output,
                   at::Tensor& gradient) {
  const bool wanted = linear.weight.requires_grad();
  if (!in_bf16(linear)) {
    gradient =
        gradient.defined() ? gradient.addmm_(output, linear.weight) : at::mm(output, linear.weight);
    if (wanted) gradient_of(linear.weight).addmm_(output.t(), x);
    return;
  }
  const at::Tensor factor = bf16_rows(output);
  if (gradient.defined()) {
    add_multiply_bf16(factor, linear.weight, gradient);
  } else {
    gradient = at::empty(x.sizes(), x.options());
    multiply_bf16(factor, linear.weight, {}, gradient);
  }
  if (wanted) add_multiply_bf16(bf16_transposed(output), x, gradient_of(linear.weight));
}

struct RecomputedLinears final : torch::autograd::Node {
  at::Tensor x;
  std::function<at::Tensor(const at::Tensor&)> f;
  std::vector<const Linear*> linears;

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const at::AutoGradMode with_grad(true);
    const at::Tensor leaf = x.detach().set_requires_grad(true);
    const at::Tensor input = f(leaf);
    at::Tensor gradient;  // of the input: [N, in]
    {
      const at::NoGradGuard no_grad;
      const at::Tensor rows = as_rows(input);
      for (std::size_t i = 0; i < linears.size(); ++i) {
        if (!gradients[i].defined()) continue;
        const at::Tensor output = as_rows(gradients[i]);
        const Linear& linear = *linears[i];
        add_gradients(linear, rows, output, gradient);
        if (linear.bias.requires_grad()) gradient_of(linear.bias).add_(output.sum(0));
      }
    }
    if (!gradient.defined()) return {at::Tensor()};
    input.backward(gradient.view(input.sizes()));
    return {leaf.grad()};
  }

  void release_variables() override { x.reset(); }
};

struct AddedEmbedding final : torch::autograd::Node {
  at::Tensor weight, ids;
  std::int64_t padding_idx = -1;

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    const at::NoGradGuard no_grad;
    if (!gradients[0].defined()) return {at::Tensor()};
    at::Tensor gradient = gradients[0];
    if (padding_idx >= 0) gradient = gradient.masked_fill(ids.eq(padding_idx).unsqueeze(-1), 0);
    if (weight.is_cpu())
      gradient_of(weight).index_add_(0, ids.reshape(-1), as_rows(gradient));
    else  // a GPU would add in any order and round every sum to half precision
      gradient_of(weight).add_(at::embedding_dense_backward(
          gradient, ids, weight.size(0), /*padding_idx=*/-1, /*scale_grad_by_freq=*/false));
    return {at::Tensor()};
  }
};

}  // namespace

at::Tensor cast_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return at::linear(x, weight.to(x.scalar_type()),
                    bias.defined() ? std::optional(bias) : std::nullopt);
}

at::Tensor product(const at::Tensor& x, const Linear& linear) {
  if (linear.packed != nullptr) return linear.packed->apply(x, linear.bias);
  if (!in_bf16(linear))
    return is_few(x, linear.weight) ? few_linear(x, linear.weight, linear.bias)
                                    : cast_linear(x, linear.weight, linear.bias);
  if (!at::GradMode::is_enabled()) return bf16_linear(x, linear);
  return recomputed_linears(x, [](const at::Tensor& in) { return in; }, {&linear}).front();
}

std::vector<at::Tensor> recomputed_linears(const at::Tensor& x,
                                           std::function<at::Tensor(const at::Tensor&)> f,
                                           const std::vector<const Linear*>& linears) {
  std::vector<at::Tensor> outputs;
  const bool differentiable = at::GradMode::is_enabled() && x.requires_grad();
  {
    const at::NoGradGuard no_grad;
    const at::Tensor input = f(x);
    for (const Linear* const linear : linears) outputs.push_back(product(input, *linear));
  }
  if (!differentiable) return outputs;
  const auto node = std::make_shared<RecomputedLinears>();
  node->set_next_edges(torch::autograd::collect_next_edges(x));
  node->x = x.detach();
  node->f = std::move(f);
  node->linears = linears;
  torch::autograd::set_history(outputs, node);
  return outputs;
}

at::Tensor embedding_rows(const at::Tensor& weight, const at::Tensor& ids,
                          std::int64_t padding_idx) {
  at::Tensor rows;
  {
    const at::NoGradGuard no_grad;
    rows = at::embedding(weight, ids);
  }
  if (!at::GradMode::is_enabled() || !weight.requires_grad()) return rows;
  const auto node = std::make_shared<AddedEmbedding>();
  node->set_next_edges(torch::autograd::collect_next_edges(weight));
  node->weight = weight;
  node->ids = ids;
  node->padding_idx = padding_idx;
  torch::autograd::set_history(rows, node);
  return rows;
}

}  // namespace btm
