#include "btm/model/packed_matrix.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>

#include "btm/model/few_rows.h"

namespace btm {
namespace {

using c10::BFloat16;

/// Rows of a factor that stay in the second-level cache beside a block of W.
constexpr std::int64_t kGroup = 512;

}  // namespace

std::string products_name(Products products, bool fast) {
  const std::string kernel = "avx512_bf16 kernel";
  switch (products) {
    case Products::kFp32:
      break;
    case Products::kBf16:
      return "bf16 factors and fp32 sums, " + (fast ? kernel : "emulated in fp32");
    case Products::kBf16x3:
      if (fast) return "bf16x3, " + kernel;
      return "bf16x3, computed in exact fp32";
  }
  return "exact fp32";
}

PackedMatrix::PackedMatrix(const at::Tensor& weight, Products products, bool fast)
    : out_(weight.size(0)),
      in_(weight.size(1)),
      pairs_((weight.size(1) + 1) / 2),
      products_(products) {
  if (!fast) {
    plain_ = (products == Products::kBf16 ? weight.to(at::kBFloat16) : weight).to(at::kFloat);
    plain_ = plain_.contiguous();
    return;
  }
  const std::int64_t blocks = (out_ + kWidth - 1) / kWidth, size = pairs_ * kWidth * 2;
  hi_ = at::empty({blocks * size}, at::kBFloat16);
  if (products == Products::kBf16x3) lo_ = at::empty({blocks * size}, at::kBFloat16);
  auto* const hi = hi_.mutable_data_ptr<BFloat16>();
  auto* const lo = lo_.defined() ? lo_.mutable_data_ptr<BFloat16>() : nullptr;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t from = block * kWidth, count = std::min(kWidth, out_ - from);
      const at::Tensor part = weight.narrow(0, from, count).to(at::kFloat).contiguous();
      pack_pairs({part.const_data_ptr<float>(), 1, in_}, in_, count, pairs_, hi + block * size,
                 lo == nullptr ? nullptr : lo + block * size);
    }
  });
}

PackedMatrix::Factor PackedMatrix::factor(const at::Tensor& x) const {
  if (plain_.defined())
    return {products_ == Products::kBf16 ? x.to(at::kBFloat16).to(at::kFloat) : x, {}};
  const at::Tensor even = in_ % 2 == 0 ? x.contiguous() : at::constant_pad_nd(x, {0, 1});
  Factor factor{even.to(at::kBFloat16), {}};
  if (products_ == Products::kBf16x3)
    factor.lo = (even - factor.hi.to(at::kFloat)).to(at::kBFloat16);
  return factor;
}

void PackedMatrix::block(const Factor& x, std::int64_t row, std::int64_t rows, std::int64_t column,
                         std::int64_t columns, const float* bias, float* out,
                         std::int64_t stride) const {
  const std::int64_t size = pairs_ * kWidth * 2, width = pairs_ * 2;
  const auto packed = [&](const Packed& part) {
    return part.const_data_ptr<BFloat16>() + column / kWidth * size;
  };
  const auto add = [&](const at::Tensor& factor, const Packed& part, bool accumulate) {
    multiply_pairs(factor.const_data_ptr<BFloat16>() + row * width, width, rows, packed(part),
                   pairs_, columns, accumulate, out, stride);
  };
  if (bias != nullptr)
    for (std::int64_t i = 0; i < rows; ++i) std::copy_n(bias + column, columns, out + i * stride);
  add(x.hi, hi_, bias != nullptr);
  if (products_ != Products::kBf16x3) return;
  add(x.hi, lo_, true);
  add(x.lo, hi_, true);
}

void PackedMatrix::multiply(const Factor& x, std::int64_t first, std::int64_t columns,
                            const float* bias, float* out, std::int64_t stride) const {
  const std::int64_t count = x.hi.size(0);
  if (plain_.defined() && count <= kFewRows) {
    const at::Tensor rows = x.hi.contiguous();
    multiply_few(rows.const_data_ptr<float>(), count, plain_.const_data_ptr<float>() + first * in_,
                 in_, columns, bias != nullptr ? bias + first : nullptr, out, stride);
    return;
  }
  if (plain_.defined()) {
    at::Tensor product = at::mm(x.hi, plain_.narrow(0, first, columns).t());
    const float* const source = product.const_data_ptr<float>();
    for (std::int64_t row = 0; row < count; ++row)
      for (std::int64_t i = 0; i < columns; ++i)
        out[row * stride + i] =
            source[row * columns + i] + (bias != nullptr ? bias[first + i] : 0.0F);
    return;
  }
  // A task is a block of W and as many rows as stay in the second-level cache beside it.
  const std::int64_t blocks = (columns + kWidth - 1) / kWidth;
  const std::int64_t groups = (count + kGroup - 1) / kGroup;
  at::parallel_for(0, blocks * groups, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t column = task % blocks * kWidth, from = task / blocks * kGroup;
      const std::int64_t to = std::min(count, from + kGroup);
      block(x, from, to - from, first + column, std::min(kWidth, columns - column), bias,
            out + from * stride + column, stride);
    }
    release_kernels();
  });
}

at::Tensor PackedMatrix::apply(const at::Tensor& x, const at::Tensor& bias) const {
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = out_;
  at::Tensor out = at::empty(shape, x.options());
  multiply(factor(x.reshape({-1, in_})), 0, out_,
           bias.defined() ? bias.const_data_ptr<float>() : nullptr, out.mutable_data_ptr<float>(),
           out_);
  return out;
}

at::Tensor PackedMatrix::rows(const at::Tensor& ids) const {
  if (plain_.defined()) return at::embedding(plain_, ids);
  const at::Tensor places = ids.contiguous();
  std::vector<std::int64_t> shape = ids.sizes().vec();
  shape.push_back(in_);
  at::Tensor out = at::empty(shape, ids.options().dtype(at::kFloat));
  float* const target = out.mutable_data_ptr<float>();
  const std::int64_t* const from = places.const_data_ptr<std::int64_t>();
  const auto* const hi = hi_.const_data_ptr<BFloat16>();
  const auto* const lo = lo_.defined() ? lo_.const_data_ptr<BFloat16>() : nullptr;
  at::parallel_for(0, places.numel(), 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t block = from[n] / kWidth, column = from[n] % kWidth;
      for (std::int64_t i = 0; i < in_; ++i) {
        const std::int64_t at = ((block * pairs_ + i / 2) * kWidth + column) * 2 + i % 2;
        target[n * in_ + i] =
            static_cast<float>(hi[at]) + (lo == nullptr ? 0.0F : static_cast<float>(lo[at]));
      }
    }
  });
  return out;
}

}  // namespace btm
