#include "btm/model/target_log_probs.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <vector>

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

/// The same on the CPU in fp32 for at most kTileRows tokens, a tile of the vocabulary at a time;
/// `buffer` holds one tile.
void pick_by_tiles(const at::Tensor& features, const at::Tensor& weight,
                   const std::int64_t* targets, at::Tensor& buffer, float* out) {
  const std::int64_t count = features.size(0), vocabulary = weight.size(0);
  std::vector<LogSumExp> sums(static_cast<std::size_t>(count));
  for (std::int64_t first = 0; first < vocabulary; first += kTileColumns) {
    const std::int64_t columns = std::min(kTileColumns, vocabulary - first);
    at::Tensor tile = buffer.narrow(0, 0, count * columns).view({count, columns});
    at::mm_out(tile, features, weight.narrow(0, first, columns).to(at::kFloat).t());
    const float* const logits = tile.const_data_ptr<float>();
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

}  // namespace

std::int64_t tokens_of_logits(std::int64_t vocabulary, at::Device device) {
  const std::int64_t bytes = std::int64_t{device.is_cpu() ? 64 : 512} << 20;
  return std::max<std::int64_t>(1, bytes / (static_cast<std::int64_t>(sizeof(float)) * vocabulary));
}

at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& weight,
                            const at::Tensor& targets, std::int64_t rows_at_once) {
  const at::NoGradGuard no_grad;
  const std::int64_t count = features.size(0);
  const bool tiles = features.is_cpu() && features.scalar_type() == at::kFloat;
  const std::int64_t fitting =
      tiles ? kTileRows : tokens_of_logits(weight.size(0), features.device());
  const std::int64_t slice = std::clamp<std::int64_t>(rows_at_once, 1, fitting);
  at::Tensor out = at::empty({count}, features.options().dtype(at::kFloat));
  at::Tensor buffer;
  if (tiles) buffer = at::empty({std::min(slice, count) * kTileColumns}, features.options());
  const at::Tensor ids = targets.contiguous();
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    const at::Tensor input = features.narrow(0, from, rows);
    if (tiles)
      pick_by_tiles(input, weight, ids.const_data_ptr<std::int64_t>() + from, buffer,
                    out.mutable_data_ptr<float>() + from);
    else
      pick_from_all_logits(input, weight, ids.narrow(0, from, rows), out.narrow(0, from, rows));
  }
  return out;
}

}  // namespace btm
