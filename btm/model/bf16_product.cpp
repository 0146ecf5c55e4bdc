#include "btm/model/bf16_product.h"

#include <ATen/Parallel.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

namespace btm {
namespace {

using c10::BFloat16;

/// Rows of b that are packed at once. A packed block of them, its part of a and of the product stay
/// in the second-level cache.
constexpr std::int64_t kDepth = 1024;
constexpr std::int64_t kTransposedColumns = 64;  ///< that a task of bf16_transposed() takes

std::int64_t rounded_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Rows of a that a task multiplies by one block of b, which it packs for them. Many rows make
/// packing cheap, but each thread should find some tasks.
std::int64_t rows_of_task(std::int64_t rows, std::int64_t blocks) {
  constexpr std::int64_t kFewest = 128, kMost = 2048, kTasksOfThread = 4;
  const std::int64_t wanted = (kTasksOfThread * at::get_num_threads() + blocks - 1) / blocks;
  const std::int64_t groups =
      std::max((rows + kMost - 1) / kMost, std::min(wanted, (rows + kFewest - 1) / kFewest));
  return rounded_up((rows + groups - 1) / groups, kFewest);
}

struct Operands {
  const BFloat16* a;
  std::int64_t a_stride, depth;  ///< depth: columns of a
  MatrixView b;
  std::int64_t b_rows;
  float* out;
  std::int64_t stride;
  bool accumulate;
};

/// Rows [row, row + rows) of the product by a block of b, columns [column, column + columns).
void multiply_block(const Operands& on, std::int64_t row, std::int64_t rows, std::int64_t column,
                    std::int64_t columns, BFloat16* packed) {
  float* const out = on.out + row * on.stride + column;
  for (std::int64_t k = 0; k < on.depth; k += kDepth) {
    const std::int64_t depth = std::min(kDepth, on.depth - k);
    const MatrixView part{on.b.data + k * on.b.row + column * on.b.column, on.b.row, on.b.column};
    pack_pairs(part, on.b_rows - k, columns, depth / 2, packed, nullptr);
    multiply_pairs(on.a + row * on.a_stride + k, on.a_stride, rows, packed, depth / 2, columns,
                   on.accumulate || k > 0, out, on.stride);
  }
}

void multiply_all(const Operands& on, std::int64_t rows, std::int64_t columns, const float* bias) {
  if (rows == 0 || columns == 0) return;
  const std::int64_t blocks = (columns + kPairsWidth - 1) / kPairsWidth;
  const std::int64_t group = rows_of_task(rows, blocks), groups = (rows + group - 1) / group;
  at::parallel_for(0, blocks * groups, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<BFloat16> packed(
        static_cast<std::size_t>(std::min(kDepth, on.depth) * kPairsWidth));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t column = task % blocks * kPairsWidth, row = task / blocks * group;
      const std::int64_t width = std::min(kPairsWidth, columns - column),
                         count = std::min(group, rows - row);
      if (bias != nullptr)
        for (std::int64_t i = row; i < row + count; ++i)
          std::copy_n(bias + column, width, on.out + i * on.stride + column);
      multiply_block(on, row, count, column, width, packed.data());
    }
    release_kernels();
  });
}

void multiply(const at::Tensor& a, const at::Tensor& any_b, const float* bias,
              const at::Tensor& out, bool accumulate) {
  const bool dense = any_b.stride(0) == 1 || any_b.stride(1) == 1;
  const at::Tensor b = dense ? any_b : any_b.contiguous();
  const Operands on{a.const_data_ptr<BFloat16>(),
                    a.stride(0),
                    a.size(1),
                    {b.const_data_ptr<float>(), b.stride(0), b.stride(1)},
                    b.size(0),
                    out.mutable_data_ptr<float>(),
                    out.stride(0),
                    accumulate};
  multiply_all(on, out.size(0), out.size(1), bias);
}

}  // namespace

at::Tensor bf16_rows(const at::Tensor& x) {
  return (x.size(1) % 2 == 0 ? x : at::constant_pad_nd(x, {0, 1})).to(at::kBFloat16).contiguous();
}

at::Tensor bf16_transposed(const at::Tensor& matrix) {
  const at::Tensor x = matrix.stride(1) == 1 ? matrix : matrix.contiguous();
  const std::int64_t rows = x.size(0), columns = x.size(1), depth = rounded_up(rows, 32);
  at::Tensor out = at::empty({columns, depth}, x.options().dtype(at::kBFloat16));
  const float* const from = x.const_data_ptr<float>();
  auto* const to = out.mutable_data_ptr<BFloat16>();
  const std::int64_t tasks = (columns + kTransposedColumns - 1) / kTransposedColumns;
  at::parallel_for(0, tasks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task * kTransposedColumns;
      transpose_to_bf16(from + first, x.stride(0), rows,
                        std::min(kTransposedColumns, columns - first), depth, to + first * depth);
    }
  });
  return out;
}

void multiply_bf16(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias,
                   const at::Tensor& out) {
  multiply(a, b, bias.defined() ? bias.const_data_ptr<float>() : nullptr, out,
           /*accumulate=*/bias.defined());
}

void add_multiply_bf16(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out) {
  multiply(a, b, nullptr, out, /*accumulate=*/true);
}

}  // namespace btm
