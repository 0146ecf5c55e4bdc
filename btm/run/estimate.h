// Estimates what a forest of experts costs, from a few numbers: time, memory, storage, network.
// Every assumption is named.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "btm/report/table.h"

namespace btm {

struct EstimateOptions {
  // The model, as transformer_lm_gpt3_* builds it: learned positions, tied output.
  std::int64_t layers = 24, width = 2048, vocab = 50264, tokens_per_sample = 1024;
  // The training of an expert.
  std::int64_t gpus = 16, updates = 12000, seed_updates = 6000, batch_size = 2, update_freq = 32;
  std::int64_t seed_experts =
      8;  ///< The seed phase has the GPUs and the batch of this many experts.
  bool memory_efficient = true;  ///< --memory-efficient-fp16: no fp32 copy of the weights.
  // What the machines do.
  double flops = 0;  ///< A GPU's, in training; 0: peak_flops * utilisation.
  double peak_flops = 312e12, utilisation = 0.35;
  double fabric = 25e9;  ///< Bytes per second and GPU between the GPUs of an expert.
  double link = 125e6;   ///< Bytes per second between the place of an expert and the store.
  std::int64_t parallel_experts = 0;  ///< Trained at once; 0: all.
};

/// Parameters of the model: V d + (T + 2) d + L (12 d^2 + 13 d) + 2 d for a ffn of 4 d.
std::int64_t num_parameters(const EstimateOptions& options);

/// Floating point operations of a training step by token: 6 for each parameter that multiplies, and
/// attention's 6 L d T (causal attention sees T / 2 tokens on average; Kaplan et al. 2020, Appendix
/// B, with backward twice forward).
double flops_per_token(const EstimateOptions& options);

/// The costs for one number of experts.
struct Estimate {
  std::int64_t experts = 0, tokens_per_expert = 0, tokens = 0;
  double seed_seconds = 0, expert_seconds = 0, seconds = 0, gpu_hours = 0;
  double gpu_bytes = 0;         ///< Weights, gradients, Adam's moments of a rank.
  double checkpoint_bytes = 0;  ///< Of an expert with its optimizer state, as fairseq writes it.
  double store_bytes = 0;       ///< All experts' models, without optimizer state.
  double transfer_seconds = 0;  ///< Seed checkpoint to an expert, and its model back.
  double expert_bytes_per_update = 0;  ///< Through each GPU's fabric within an expert.
  double dense_bytes_per_update =
      0;  ///< What a dense run on all GPUs needs between all places instead, per GPU.
};

Estimate estimate(const EstimateOptions& options, std::int64_t experts);

/// A row for each quantity, a column for each estimate.
Table estimate_table(const std::vector<Estimate>& estimates);

/// Name and value of every assumption.
Table assumption_table(const EstimateOptions& options);

}  // namespace btm
