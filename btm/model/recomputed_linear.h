// Layers whose gradients are added where they belong, and linear layers of a cheap function of what
// is kept: its value is computed again in the backward pass instead of being kept. A layer norm or
// an activation function costs little beside the products, and what it gives is a third of what
// autograd would keep of a decoder layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace btm {

/// weight [out, in], bias [out].
struct Linear {
  at::Tensor weight, bias;
};

/// at::linear. A weight of another dtype than x, as a checkpoint stores it, is converted for this
/// one product.
at::Tensor linear_of(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

/// linear(f(x), weight, bias) for each of `linears`: x [..., in] -> [..., out]. f may use
/// parameters; it must give the same when called again (no dropout) and must outlive the graph with
/// all it refers to. In the backward pass the gradients of weights and biases are added to their
/// .grad() directly, without hooks of theirs being called. Where x requires no gradient, nothing
/// here gets one.
std::vector<at::Tensor> linears_of(const at::Tensor& x,
                                   std::function<at::Tensor(const at::Tensor&)> f,
                                   const std::vector<const Linear*>& linears);

/// Rows `ids` [...] int64 of weight [V, C] -> [..., C]. The gradient is added to weight's .grad()
/// as above, on the CPU to its rows alone, where autograd would make one as large as the weight
/// first. Row `padding_idx` gets no gradient.
at::Tensor embedding_of(const at::Tensor& weight, const at::Tensor& ids,
                        std::int64_t padding_idx = -1);

}  // namespace btm
