// Token ids and places as a tensor.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <cstdint>
#include <vector>

namespace btm {

/// [N] int64 on the CPU, not copied: `values` must outlive the tensor, which is only read.
inline at::Tensor ids_tensor(const std::vector<std::int64_t>& values) {
  return at::from_blob(const_cast<std::int64_t*>(values.data()),
                       {static_cast<std::int64_t>(values.size())}, at::kLong);
}

}  // namespace btm
