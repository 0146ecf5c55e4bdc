#include "btm/model/head.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "btm/model/bf16_product.h"
#include "btm/model/few_rows.h"
#include "btm/model/ids_tensor.h"
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

FillTile filler(const Linear& output, const at::Tensor& rows) {
  if (output.packed != nullptr)
    return [&matrix = *output.packed, factor = output.packed->factor(rows)](
               std::int64_t first, std::int64_t count, float* tile) {
      matrix.multiply(factor, first, count, nullptr, tile, count);
    };
  if (output.products == Products::kBf16)
    return [&weight = output.weight, factor = bf16_rows(rows)](std::int64_t first,
                                                               std::int64_t count, float* tile) {
      multiply_bf16(factor, weight.narrow(0, first, count).t(), {},
                    at::from_blob(tile, {factor.size(0), count}, weight.options()));
    };
  return [&weight = output.weight, rows = rows.contiguous()](std::int64_t first, std::int64_t count,
                                                             float* tile) {
    const at::Tensor part = weight.narrow(0, first, count).to(at::kFloat).contiguous();
    if (rows.size(0) <= kFewRows) {
      multiply_few(rows.const_data_ptr<float>(), rows.size(0), part.const_data_ptr<float>(),
                   rows.size(1), count, nullptr, tile, count);
      return;
    }
    at::Tensor out = at::from_blob(tile, {rows.size(0), count}, rows.options());
    at::mm_out(out, rows, part.t());
  };
}

std::int64_t vocabulary_of(const Linear& output) {
  return output.packed != nullptr ? output.packed->out_features() : output.weight.size(0);
}

/// The walk over a vocabulary for at most kTileRows rows. `buffer` holds one tile. Target t of row
/// r is one of [begins[r], begins[r + 1]).
void walk_tiles(std::int64_t rows, std::int64_t vocabulary, const FillTile& fill,
                const Head::Target* targets, const std::int64_t* begins, float* buffer,
                double* log_sums, float* logits) {
  std::vector<LogSumExp> sums(static_cast<std::size_t>(rows));
  for (std::int64_t first = 0; first < vocabulary; first += kTileColumns) {
    const std::int64_t columns = std::min(kTileColumns, vocabulary - first);
    fill(first, columns, buffer);
    at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const float* const x = buffer + row * columns;
        sums[static_cast<std::size_t>(row)].add(x, columns);
        for (std::int64_t t = begins[row]; t < begins[row + 1]; ++t)
          if (const std::int64_t at = targets[t].token - first; at >= 0 && at < columns)
            logits[t] = x[at];
      }
    });
  }
  for (std::int64_t row = 0; row < rows; ++row)
    log_sums[row] = sums[static_cast<std::size_t>(row)].value();
}

Head::Scores scores_by_tiles(const Linear& output, const at::Tensor& features,
                             std::span<const Head::Target> targets, std::int64_t rows_at_once) {
  const std::int64_t count = features.size(0);
  const std::int64_t slice = std::clamp<std::int64_t>(rows_at_once, 1, kTileRows);
  Head::Scores scores{std::vector<double>(static_cast<std::size_t>(count)),
                      std::vector<float>(targets.size())};
  std::vector<std::int64_t> begins(static_cast<std::size_t>(count) + 1, 0);
  for (const Head::Target& target : targets) ++begins[static_cast<std::size_t>(target.row) + 1];
  for (std::size_t row = 1; row < begins.size(); ++row) begins[row] += begins[row - 1];
  at::Tensor buffer = at::empty({std::min(slice, count) * kTileColumns}, features.options());
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    walk_tiles(rows, vocabulary_of(output), filler(output, features.narrow(0, from, rows)),
               targets.data(), begins.data() + from, buffer.mutable_data_ptr<float>(),
               scores.log_sums.data() + from, scores.logits.data());
  }
  return scores;
}

}  // namespace

Head::Scores scores_of_matrix(const at::Tensor& weight, const at::Tensor& features,
                              std::span<const Head::Target> targets, std::int64_t rows_at_once) {
  const std::int64_t count = features.size(0);
  Head::Scores scores{std::vector<double>(static_cast<std::size_t>(count)),
                      std::vector<float>(targets.size())};
  auto target = targets.begin();
  for (std::int64_t from = 0; from < count; from += rows_at_once) {
    const std::int64_t rows = std::min(rows_at_once, count - from);
    const at::Tensor logits =
        at::linear(features.narrow(0, from, rows).to(weight.options()), weight).to(at::kFloat);
    const at::Tensor sums = at::logsumexp(logits, 1).cpu();
    std::copy_n(sums.const_data_ptr<float>(), rows, scores.log_sums.begin() + from);
    std::vector<std::int64_t> places;  // in the flat logits
    const auto first = target;
    for (; target != targets.end() && target->row < from + rows; ++target)
      places.push_back((target->row - from) * weight.size(0) + target->token);
    const at::Tensor found =
        logits.view(-1).index_select(0, ids_tensor(places).to(weight.device()));
    std::copy_n(found.cpu().const_data_ptr<float>(), places.size(),
                scores.logits.begin() + (first - targets.begin()));
  }
  return scores;
}

std::int64_t tokens_of_logits(std::int64_t vocabulary, at::Device device) {
  const std::int64_t bytes = std::int64_t{device.is_cpu() ? 64 : 512} << 20;
  return std::max<std::int64_t>(1, bytes / (static_cast<std::int64_t>(sizeof(float)) * vocabulary));
}

at::Tensor Head::target_log_probs(const at::Tensor& features, const at::Tensor& targets,
                                  std::int64_t rows_at_once) const {
  const at::NoGradGuard no_grad;
  const std::int64_t count = features.size(0);
  at::Tensor out = at::empty({count}, features.options().dtype(at::kFloat));
  if (adaptive_) {
    const std::int64_t slice = std::clamp<std::int64_t>(
        rows_at_once, 1, tokens_of_logits(adaptive_->vocabulary(), features.device()));
    for (std::int64_t from = 0; from < count; from += slice) {
      const std::int64_t rows = std::min(slice, count - from);
      out.narrow(0, from, rows)
          .copy_(adaptive_->target_log_probs(features.narrow(0, from, rows),
                                             targets.narrow(0, from, rows)));
    }
    return out;
  }
  if (features.is_cpu() && features.scalar_type() == at::kFloat) {
    const at::Tensor ids = targets.contiguous();
    const std::int64_t* const tokens = ids.const_data_ptr<std::int64_t>();
    std::vector<Target> wanted;
    for (std::int64_t row = 0; row < count; ++row) wanted.push_back({row, tokens[row]});
    const Scores found = scores_by_tiles(output_, features, wanted, rows_at_once);
    float* const to = out.mutable_data_ptr<float>();
    for (std::size_t i = 0; i < wanted.size(); ++i)
      to[i] = static_cast<float>(found.logits[i] - found.log_sums[i]);
    return out;
  }
  const std::int64_t slice = std::clamp<std::int64_t>(
      rows_at_once, 1, tokens_of_logits(vocabulary_of(output_), features.device()));
  for (std::int64_t from = 0; from < count; from += slice) {
    const std::int64_t rows = std::min(slice, count - from);
    pick_from_all_logits(features.narrow(0, from, rows), output_.weight,
                         targets.narrow(0, from, rows), out.narrow(0, from, rows));
  }
  return out;
}

at::Device Head::device() const {
  if (adaptive_) return adaptive_->device();
  return output_.packed != nullptr ? at::kCPU : output_.weight.device();
}

Head::Scores Head::scores(const at::Tensor& features, std::span<const Target> targets) const {
  const at::NoGradGuard no_grad;
  if (adaptive_) return adaptive_scores(features, targets);
  if (!on_cpu())
    return scores_of_matrix(output_.weight, features, targets,
                            tokens_of_logits(vocabulary_of(output_), output_.weight.device()));
  return scores_by_tiles(output_, features, targets, kTileRows);
}

/// One row of features for each target.
Head::Scores Head::adaptive_scores(const at::Tensor& features,
                                   std::span<const Target> targets) const {
  std::vector<std::int64_t> rows, tokens;
  for (const Target& target : targets) {
    rows.push_back(target.row);
    tokens.push_back(target.token);
  }
  Scores scores{std::vector<double>(static_cast<std::size_t>(features.size(0)), 0.0), {}};
  if (rows.empty()) return scores;
  const at::Tensor found = target_log_probs(features.index_select(0, ids_tensor(rows)).to(device()),
                                            ids_tensor(tokens).to(device()), kTileRows)
                               .cpu();
  const float* const values = found.const_data_ptr<float>();
  scores.logits.assign(values, values + targets.size());
  return scores;
}

at::Tensor Head::logits(const at::Tensor& features) const {
  const at::NoGradGuard no_grad;
  if (adaptive_) return adaptive_->log_probs(features.to(device())).cpu();
  if (on_cpu()) return product(features, output_);
  return product(features.to(output_.weight.options()), output_).to(at::kCPU, at::kFloat);
}

float Head::logit(const at::Tensor& row, std::int64_t token) const {
  const at::NoGradGuard no_grad;
  if (adaptive_) return adaptive_scores(row.unsqueeze(0), std::vector{Target{0, token}}).logits[0];
  if (!on_cpu())
    return at::linear(row.unsqueeze(0).to(output_.weight.options()),
                      output_.weight.narrow(0, token, 1))
        .item<float>();
  if (output_.packed == nullptr)
    return at::dot(row, output_.weight.select(0, token).to(at::kFloat)).item<float>();
  const PackedMatrix& matrix = *output_.packed;
  // The block of the token's column: its product has the same bits as in a walk over all of them.
  const std::int64_t first = token / PackedMatrix::kWidth * PackedMatrix::kWidth;
  const std::int64_t columns = std::min(PackedMatrix::kWidth, matrix.out_features() - first);
  float block[PackedMatrix::kWidth];
  matrix.multiply(matrix.factor(row.unsqueeze(0)), first, columns, nullptr, block, columns);
  return block[token - first];
}

}  // namespace btm
