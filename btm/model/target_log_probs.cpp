#include "btm/model/target_log_probs.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "btm/model/bf16_product.h"
#include "btm/model/row_softmax.h"

namespace btm {
namespace {

// A tile of logits stays in the last-level cache between the product that writes it and the loop
// that reads it.
constexpr std::int64_t kTileRows = 1024, kTileColumns = 2048;

/// The same for `rows_at_once` tokens on any device and in any dtype.
void pick_from_all_logits(const at::Tensor& features, const at::Tensor& weight,
                          const at::Tensor& targets, const at::Tensor& out) {
  const at::Tensor log_probs = at::log_softmax(at::linear(features, weight), -1, at::kFloat);
  out.copy_(log_probs.gather(1, targets.unsqueeze(1)).squeeze(1));
}

/// Logits of a slice of features for columns [first, first + count) of the vocabulary, to a tile
/// [rows, count].
using FillTile = std::function<void(std::int64_t first, std::int64_t count, float* tile)>;

/// The log-probabilities of at most kTileRows fp32 tokens on the CPU, a tile of the vocabulary at a
/// time; `buffer` holds one tile.
void pick_by_tiles(std::int64_t count, std::int64_t vocabulary, const FillTile& fill,
                   const std::int64_t* targets, at::Tensor& buffer, float* out) {
  std::vector<LogSumExp> sums(static_cast<std::size_t>(count));
  float* const logits = buffer.mutable_data_ptr<float>();
  for (std::int64_t first = 0; first < vocabulary; first += kTileColumns) {
    const std::int64_t columns = std::min(kTileColumns, vocabulary - first);
    fill(first, columns, logits);
    at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const float* const x = logits + row * columns;
        sums[static_cast<std::size_t>(row)].add(x, columns);
        if (const std::int64_t at = targets[row] - first; at >= 0 && at < columns) out[row] = x[at];
      }
    });
  }
  for (std::int64_t row = 0; row < count; ++row)
    out[row] = static_cast<float>(out[row] - sums[static_cast<std::size_t>(row)].value());
}

/// The same for any number of tokens. `fill_of` gives the filler for a slice of the features.
at::Tensor all_by_tiles(const at::Tensor& features, std::int64_t vocabulary,
                        const std::function<FillTile(const at::Tensor&)>& fill_of,
                        const at::Tensor& targets, std::int64_t rows_at_once) {
  const std::int64_t count = features.size(0);
  const std::int64_t slice = std::clamp<std::int64_t>(rows_at_once, 1, kTileRows);
  at::Tensor out = at::empty({count}, features.options());
  at::Tensor buffer = at::empty({std::min(slice, count) * kTileColumns}, features.options());
  const at::Tensor ids = targets.contiguous();
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    pick_by_tiles(rows, vocabulary, fill_of(features.narrow(0, from, rows)),
                  ids.const_data_ptr<std::int64_t>() + from, buffer,
                  out.mutable_data_ptr<float>() + from);
  }
  return out;
}

}  // namespace

std::int64_t tokens_of_logits(std::int64_t vocabulary, at::Device device) {
  const std::int64_t bytes = std::int64_t{device.is_cpu() ? 64 : 512} << 20;
  return std::max<std::int64_t>(1, bytes / (static_cast<std::int64_t>(sizeof(float)) * vocabulary));
}

at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& weight,
                            const at::Tensor& targets, std::int64_t rows_at_once) {
  const at::NoGradGuard no_grad;
  if (features.is_cpu() && features.scalar_type() == at::kFloat) {
    const auto fill_of = [&](const at::Tensor& rows) -> FillTile {
      return [&weight, rows](std::int64_t first, std::int64_t count, float* tile) {
        at::Tensor out = at::from_blob(tile, {rows.size(0), count}, rows.options());
        at::mm_out(out, rows, weight.narrow(0, first, count).to(at::kFloat).t());
      };
    };
    return all_by_tiles(features, weight.size(0), fill_of, targets, rows_at_once);
  }
  const std::int64_t count = features.size(0);
  const std::int64_t slice = std::clamp<std::int64_t>(
      rows_at_once, 1, tokens_of_logits(weight.size(0), features.device()));
  at::Tensor out = at::empty({count}, features.options().dtype(at::kFloat));
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    pick_from_all_logits(features.narrow(0, from, rows), weight, targets.narrow(0, from, rows),
                         out.narrow(0, from, rows));
  }
  return out;
}

at::Tensor target_log_probs(const at::Tensor& features, const Linear& output,
                            const at::Tensor& targets, std::int64_t rows_at_once) {
  const at::NoGradGuard no_grad;
  if (output.packed != nullptr) {
    const auto fill_of = [&](const at::Tensor& rows) -> FillTile {
      return [&matrix = *output.packed, factor = output.packed->factor(rows)](
                 std::int64_t first, std::int64_t count, float* tile) {
        matrix.multiply(factor, first, count, nullptr, tile, count);
      };
    };
    return all_by_tiles(features, output.packed->out_features(), fill_of, targets, rows_at_once);
  }
  if (output.products != Products::kBf16)
    return target_log_probs(features, output.weight, targets, rows_at_once);
  const auto fill_of = [&](const at::Tensor& rows) -> FillTile {
    return [&weight = output.weight, factor = bf16_rows(rows)](std::int64_t first,
                                                               std::int64_t count, float* tile) {
      multiply_bf16(factor, weight.narrow(0, first, count).t(), {},
                    at::from_blob(tile, {factor.size(0), count}, weight.options()));
    };
  };
  return all_by_tiles(features, output.weight.size(0), fill_of, targets, rows_at_once);
}

}  // namespace btm
