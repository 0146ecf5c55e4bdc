// The forms in which a CPU multiplies matrices of bf16, and the one call of LibTorch's kernel. The
// first factor lies in rows. The second lies in blocks of 64 columns, in pairs of rows ("VNNI").
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace btm {

/// Columns of a block: the kernel's width.
constexpr std::int64_t kPairsWidth = 64;

/// Whether this processor multiplies bf16 faster than fp32 (avx512_bf16, or AMX) and LibTorch
/// offers the product. Nothing else in this file may be called elsewhere.
bool has_fast_bf16();

/// An fp32 matrix in memory: element (i, j) is data[i * row + j * column]. One of both steps is 1.
struct MatrixView {
  const float* data;
  std::int64_t row, column;
};

/// Packs b [rows, columns], columns <= 64, to [pairs][64][2], which is zero where b has ended;
/// 2 * pairs >= rows. `hi` gets b rounded to bf16; `lo`, which may be null, what b - hi is rounded
/// to. Numbers below fp32's smallest normal one count as zero.
void pack_pairs(const MatrixView& b, std::int64_t rows, std::int64_t columns, std::int64_t pairs,
                c10::BFloat16* hi, c10::BFloat16* lo);

/// x [rows, columns], whose rows are `stride` floats apart, rounded to bf16 and transposed: `out`
/// [columns, depth], which is zero where x has ended; depth >= rows is a multiple of 32.
void transpose_to_bf16(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t columns,
                       std::int64_t depth, c10::BFloat16* out);

/// out [rows, columns] = a b, or out + a b to `accumulate`: a [rows, 2 * pairs] with rows
/// `a_stride` apart, b a packed block, out's rows `stride` apart. fp32 sums. A row has the same
/// bits whatever the other rows are. Call release_kernels() in the same thread after the last
/// product.
void multiply_pairs(const c10::BFloat16* a, std::int64_t a_stride, std::int64_t rows,
                    const c10::BFloat16* b, std::int64_t pairs, std::int64_t columns,
                    bool accumulate, float* out, std::int64_t stride);
void release_kernels();

}  // namespace btm
