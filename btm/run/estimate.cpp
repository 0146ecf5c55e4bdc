#include "btm/run/estimate.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "compat/base/concat.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

constexpr double kHalf = 2, kSingle = 4;  ///< Bytes of a number.

std::string bytes_text(double bytes) {
  static constexpr std::array kUnits{"B", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  return fixed(bytes, unit == 0 ? 0 : 1) + " " + kUnits[unit];
}

double training_flops(const EstimateOptions& o) {
  return o.flops > 0 ? o.flops : o.peak_flops * o.utilisation;
}

std::int64_t tokens_per_update(const EstimateOptions& o) {
  return o.gpus * o.batch_size * o.update_freq * o.tokens_per_sample;
}

/// A ring's all-reduce of half-precision gradients: each of `ranks` sends 2 (n - 1) / n times their
/// size.
double all_reduce_bytes(const EstimateOptions& o, double ranks) {
  return ranks > 1 ? 2 * (ranks - 1) / ranks * kHalf * static_cast<double>(num_parameters(o)) : 0;
}

}  // namespace

std::int64_t num_parameters(const EstimateOptions& o) {
  const std::int64_t d = o.width;
  return o.vocab * d + (o.tokens_per_sample + 2) * d + o.layers * (12 * d * d + 13 * d) + 2 * d;
}

double flops_per_token(const EstimateOptions& o) {
  const double d = static_cast<double>(o.width), layers = static_cast<double>(o.layers);
  const double multiplying = layers * 12 * d * d + static_cast<double>(o.vocab) * d;
  return 6 * multiplying + 6 * layers * d * static_cast<double>(o.tokens_per_sample);
}

Estimate estimate(const EstimateOptions& o, std::int64_t experts) {
  const auto parameters = static_cast<double>(num_parameters(o));
  const double token_seconds = flops_per_token(o) / training_flops(o);
  // Worst case: the whole all-reduce of an update does not overlap with computing.
  const double reduce_seconds = all_reduce_bytes(o, static_cast<double>(o.gpus)) / o.fabric;
  const double update_seconds =
      token_seconds * (static_cast<double>(tokens_per_update(o)) / static_cast<double>(o.gpus)) +
      reduce_seconds;
  const auto branch_updates = static_cast<double>(o.updates - o.seed_updates);
  const std::int64_t at_once =
      o.parallel_experts > 0 ? std::min(o.parallel_experts, experts) : experts;

  Estimate e;
  e.experts = experts;
  e.tokens_per_expert = (o.updates - o.seed_updates) * tokens_per_update(o);
  e.tokens = experts * e.tokens_per_expert + o.seed_updates * tokens_per_update(o) * o.seed_experts;
  e.seed_seconds =
      static_cast<double>(o.seed_updates) * update_seconds;  // its GPUs and its batch grow together
  e.expert_seconds = branch_updates * update_seconds;
  e.checkpoint_bytes = parameters * (kSingle + 2 * kSingle);
  e.store_bytes = parameters * kSingle * static_cast<double>(experts);
  e.transfer_seconds = (e.checkpoint_bytes + parameters * kSingle) / o.link;
  const double waves = std::ceil(static_cast<double>(experts) / static_cast<double>(at_once));
  e.seconds = e.seed_seconds + waves * (e.expert_seconds + e.transfer_seconds);
  e.gpu_hours = static_cast<double>(o.gpus) *
                (e.seed_seconds * static_cast<double>(o.seed_experts) +
                 e.expert_seconds * static_cast<double>(experts)) /
                3600;
  e.gpu_bytes = parameters * (kHalf + kHalf + 2 * kSingle + (o.memory_efficient ? 0 : 2 * kSingle));
  e.expert_bytes_per_update = all_reduce_bytes(o, static_cast<double>(o.gpus));
  e.dense_bytes_per_update = all_reduce_bytes(o, static_cast<double>(o.gpus * experts));
  return e;
}

Table estimate_table(const std::vector<Estimate>& estimates) {
  Table table{{{"experts"}}, {}};
  for (const Estimate& e : estimates) table.columns.push_back({compat::grouped(e.experts), true});
  const auto add = [&](const std::string& name, auto&& text) {
    std::vector<std::string> row{name};
    for (const Estimate& e : estimates) row.push_back(text(e));
    table.rows.push_back(std::move(row));
  };
  add("tokens, all",
      [](const Estimate& e) { return fixed(static_cast<double>(e.tokens) / 1e9, 1) + " billion"; });
  add("tokens of an expert", [](const Estimate& e) {
    return fixed(static_cast<double>(e.tokens_per_expert) / 1e9, 2) + " billion";
  });
  add("time of the seed phase", [](const Estimate& e) { return duration_text(e.seed_seconds); });
  add("time of an expert", [](const Estimate& e) { return duration_text(e.expert_seconds); });
  add("time, all", [](const Estimate& e) { return duration_text(e.seconds); });
  add("GPU hours", [](const Estimate& e) { return compat::grouped(std::llround(e.gpu_hours)); });
  add("memory of a GPU, without activations",
      [](const Estimate& e) { return bytes_text(e.gpu_bytes); });
  add("checkpoint to resume from, per expert",
      [](const Estimate& e) { return bytes_text(e.checkpoint_bytes); });
  add("all experts' models", [](const Estimate& e) { return bytes_text(e.store_bytes); });
  add("moving seed and model, per expert",
      [](const Estimate& e) { return duration_text(e.transfer_seconds); });
  add("network in an expert, per GPU and update",
      [](const Estimate& e) { return bytes_text(e.expert_bytes_per_update); });
  add("network between experts, per update", [](const Estimate&) { return bytes_text(0); });
  add("a dense run's instead, per GPU and update",
      [](const Estimate& e) { return bytes_text(e.dense_bytes_per_update); });
  return table;
}

Table assumption_table(const EstimateOptions& o) {
  Table table{{{"assumption"}, {"value", true}}, {}};
  table.rows = {
      {"parameters", compat::grouped(num_parameters(o))},
      {"layers, width, vocabulary", compat::concat(o.layers, ", ", o.width, ", ", o.vocab)},
      {"operations of a training step by token", short_number(flops_per_token(o) / 1e9) + " GFLOP"},
      {"GPUs of an expert; of the seed phase",
       compat::concat(o.gpus, "; ", o.gpus * o.seed_experts)},
      {"updates; of these in the seed phase", compat::concat(o.updates, "; ", o.seed_updates)},
      {"tokens of an expert's update", compat::grouped(tokens_per_update(o))},
      {"a GPU in training",
       short_number(training_flops(o) / 1e12) + " TFLOP/s" +
           (o.flops > 0 ? " (given)"
                        : " (" + short_number(o.peak_flops / 1e12) + " peak, " +
                              fixed(100 * o.utilisation, 0) + "% used)")},
      {"between GPUs of an expert",
       short_number(o.fabric / 1e9) + " GB/s, not hidden behind computing"},
      {"between an expert's place and the store", short_number(o.link / 1e6) + " MB/s"},
      {"experts at once", o.parallel_experts > 0 ? std::to_string(o.parallel_experts) : "all"},
      {"optimizer", o.memory_efficient ? "Adam, fp32 moments, no fp32 weights"
                                       : "Adam, fp32 moments, weights and gradients"},
      {"failures, waiting in queues, evaluation", "none"}};
  return table;
}

}  // namespace btm
