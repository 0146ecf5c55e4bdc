// A weight matrix in the one form that its products are computed with on a CPU, where they may be
// less precise than fp32 for speed.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <string>
#include <vector>

#include "btm/model/bf16_pairs.h"

namespace btm {

/// How a CPU multiplies matrices. Sums are fp32 in all of them.
enum class Products : std::uint8_t {
  kFp32,    ///< Factors in fp32.
  kBf16,    ///< Factors rounded to bf16.
  kBf16x3,  ///< Factors as sums of two bf16, hi + lo: hi hi + hi lo + lo hi.
};

/// How products are computed, for readers of logs: "bf16 factors and fp32 sums, avx512_bf16
/// kernel".
std::string products_name(Products products, bool fast = has_fast_bf16());

/// W [out, in] of x W^T, packed once. A row of a product does not depend on the other rows: it has
/// the same bits whatever they are and however many. Without has_fast_bf16() the same sums are
/// computed in fp32.
class PackedMatrix {
 public:
  /// Columns of a product (rows of W) that lie together: the kernel's width.
  static constexpr std::int64_t kWidth = kPairsWidth;

  /// `weight` [out, in], of any floating-point dtype, on the CPU; not kept. `products` is not
  /// kFp32. `fast`: use the processor's bf16 (a test may say no).
  PackedMatrix(const at::Tensor& weight, Products products, bool fast = has_fast_bf16());

  std::int64_t out_features() const noexcept { return out_; }
  std::int64_t in_features() const noexcept { return in_; }

  /// x W^T + bias: x [..., in] fp32, bias [out] fp32 or undefined -> [..., out] fp32.
  at::Tensor apply(const at::Tensor& x, const at::Tensor& bias) const;

  /// Rows `ids` [...] int64 of W -> [..., in] fp32, as W is rounded here.
  at::Tensor rows(const at::Tensor& ids) const;

  /// The rows of a factor in the form that the products take.
  struct Factor {
    at::Tensor hi, lo;  ///< [N, in rounded up to even] bf16, lo of kBf16x3 alone; else hi fp32.
  };
  Factor factor(const at::Tensor& x) const;  ///< x [N, in] fp32
  /// Columns [first, first + columns) of x W^T to `out`, whose rows are `stride` floats apart;
  /// `first` is a multiple of kWidth. bias [out] may be null.
  void multiply(const Factor& x, std::int64_t first, std::int64_t columns, const float* bias,
                float* out, std::int64_t stride) const;

 private:
  /// bf16 in pairs of rows ("VNNI"): [blocks][pairs][kWidth][2], zero where W has ended.
  /// A tensor, because large ones lie in huge pages, which are read faster.
  using Packed = at::Tensor;

  void block(const Factor& x, std::int64_t row, std::int64_t rows, std::int64_t column,
             std::int64_t columns, const float* bias, float* out, std::int64_t stride) const;

  std::int64_t out_, in_, pairs_;
  Products products_;
  Packed hi_, lo_;
  at::Tensor plain_;  ///< [out, in] fp32, rounded as the factors are, where bf16 is not fast.
};

}  // namespace btm
