// Layers that add their gradients to .grad() directly. Linear layers behind a cheap function
// compute its value again in the backward pass instead of keeping it. A layer norm or an activation
// function costs little beside the products, and its value is a third of what autograd would keep
// of a decoder layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "btm/model/packed_matrix.h"

namespace btm {

/// weight [out, in], bias [out].
struct Linear {
  at::Tensor weight, bias;
  std::shared_ptr<const PackedMatrix> packed = {};  ///< Instead of weight, which is undefined then.
  /// With a weight in fp32 on a CPU that has_fast_bf16(): kBf16 rounds the factors of all products,
  /// in the backward pass, too. Sums, outputs and gradients are fp32.
  Products products = Products::kFp32;
};

/// x weight^T + bias: x [..., in] -> [..., out]. With Linear::products kBf16 the layer must outlive
/// the graph, and its parameters get their gradients as those of recomputed_linears().
at::Tensor product(const at::Tensor& x, const Linear& linear);

/// at::linear. A weight of another dtype than x, such as a checkpoint's, is converted for this
/// product only.
at::Tensor cast_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

/// linear(f(x), weight, bias) for each of `linears`: x [..., in] -> [..., out]. The backward pass
/// calls f again instead of keeping its value, so f must return the same (no dropout) and must
/// outlive the graph. f may use parameters. The backward pass adds the gradients of weights and
/// biases to their .grad() without calling their hooks. Where x requires no gradient, no parameter
/// here gets one.
std::vector<at::Tensor> recomputed_linears(const at::Tensor& x,
                                           std::function<at::Tensor(const at::Tensor&)> f,
                                           const std::vector<const Linear*>& linears);

/// Rows `ids` [...] int64 of weight [V, C] -> [..., C]. The gradient is added to weight's .grad()
/// as above. On the CPU only the rows in use are touched; autograd would make a gradient as large
/// as the weight. Row `padding_idx` gets no gradient.
at::Tensor embedding_rows(const at::Tensor& weight, const at::Tensor& ids,
                          std::int64_t padding_idx = -1);

}  // namespace btm
