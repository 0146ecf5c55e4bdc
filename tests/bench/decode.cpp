#include "tests/bench/decode.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <vector>

#include "btm/mixing/model_predictor.h"
#include "btm/model/clones.h"
#include "btm/model/tensor_memory.h"
#include "btm/model/transformer_lm.h"

namespace {

constexpr std::int64_t kVocabulary = 50264;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The sum of count floats, read in eight streams.
BTM_CLONES("arch=x86-64-v4", "arch=x86-64-v3")
float sum_of(const float* x, std::int64_t count) {
  constexpr std::int64_t kLanes = 16, kStreams = 8;
  typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(4)));
  const std::int64_t part = count / kStreams;
  Lanes sums[kStreams] = {};
  for (std::int64_t i = 0; i + kLanes <= part; i += kLanes)
    for (std::int64_t s = 0; s < kStreams; ++s)
      sums[s] += *reinterpret_cast<const Lanes*>(x + s * part + i);
  for (std::int64_t s = 1; s < kStreams; ++s) sums[0] += sums[s];
  return sums[0][0];
}

/// GB/s at which all threads together read memory that no cache holds: the best of six passes.
double read_bandwidth() {
  constexpr std::int64_t kCount = std::int64_t{128} << 20;
  const at::Tensor memory = at::ones({kCount});
  const float* const x = memory.const_data_ptr<float>();
  double best = 1e9;
  volatile float sink = 0;
  for (int pass = 0; pass < 6; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    at::parallel_for(0, kCount, 1, [&](std::int64_t from, std::int64_t to) {
      sink = sum_of(x + from, to - from);
    });
    best = std::min(best, seconds_since(start));
  }
  return static_cast<double>(kCount) * sizeof(float) / best / 1e9;
}

/// The 125M shape with random weights.
std::shared_ptr<const btm::TransformerLM> model_of(const std::string& products) {
  btm::TransformerConfig config;
  config.decoder_layers = 12;
  config.decoder_embed_dim = config.decoder_input_dim = config.decoder_output_dim = 768;
  config.decoder_ffn_embed_dim = 3072;
  config.decoder_attention_heads = 12;
  config.max_target_positions = 1024;
  config.decoder_learned_pos = config.decoder_normalize_before = true;
  config.share_decoder_input_output_embed = true;
  config.activation_fn = "gelu";
  auto model = std::make_shared<btm::TransformerLM>(config, kVocabulary);
  // Repeating a million random numbers takes less time than drawing as many as there are weights.
  const at::Tensor random = at::randn({1 << 20}) * 0.02;
  for (const btm::NamedParameter& parameter : model->parameters()) {
    const std::int64_t count = c10::multiply_integers(parameter.shape);
    *parameter.tensor =
        parameter.name.ends_with("norm.weight")
            ? at::ones(parameter.shape)
            : random.repeat({(count >> 20) + 1}).narrow(0, 0, count).view(parameter.shape);
  }
  if (products == "bf16")
    model->pack(btm::Products::kBf16);
  else if (products == "bf16x3")
    model->pack(btm::Products::kBf16x3);
  else if (products != "fp32")
    throw std::invalid_argument("products are fp32, bf16 or bf16x3");
  return model;
}

/// 10^9 operations a second of a product of `rows` rows by a matrix of 768 x 3072: the median
/// of 15.
double product_rate(const btm::Linear& linear, std::int64_t rows) {
  const at::Tensor x = at::randn({rows, 768});
  const std::int64_t times = std::max<std::int64_t>(1, 512 / rows);
  std::vector<double> seconds;
  for (int i = 0; i < 15; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t n = 0; n < times; ++n) btm::product(x, linear);
    seconds.push_back(seconds_since(start) / static_cast<double>(times));
  }
  std::nth_element(seconds.begin(), seconds.begin() + 7, seconds.end());
  return 2.0 * 768 * 3072 * static_cast<double>(rows) / seconds[7] / 1e9;
}

/// The median seconds of a step in which each row gets one token and the most probable one is read
/// out.
double decode(btm::Predictor& predictor, const std::vector<btm::Predictor::Row>& rows) {
  btm::Predictor::Step step;
  step.rows = rows;
  step.counts.assign(rows.size(), 1);
  step.tokens.assign(rows.size(), 9);
  step.wants.assign(rows.size(), {.top = 1});
  std::vector<double> seconds;
  for (int i = 0; i < 100; ++i) {
    const auto start = std::chrono::steady_clock::now();
    predictor.advance(step);
    seconds.push_back(seconds_since(start));
  }
  std::nth_element(seconds.begin(), seconds.begin() + 50, seconds.end());
  return seconds[50];
}

}  // namespace

void bench_products(int threads) {
  const at::NoGradGuard no_grad;
  at::set_num_threads(threads);
  btm::use_page_arena(btm::MemoryUse::kEvaluation);
  const at::Tensor weight = at::randn({3072, 768});
  const auto packed = [&](btm::Products products) {
    return btm::Linear{{}, {}, std::make_shared<const btm::PackedMatrix>(weight, products)};
  };
  const btm::Linear fp32{weight, {}}, bf16 = packed(btm::Products::kBf16),
                                      split = packed(btm::Products::kBf16x3);
  for (const std::int64_t rows : {1, 4, 16, 100, 512, 2048})
    std::printf("%4ld rows: fp32 %.0f, bf16 %.0f, bf16x3 %.0f GF/s\n", static_cast<long>(rows),
                product_rate(fp32, rows), product_rate(bf16, rows), product_rate(split, rows));
}

void bench_decode(const std::string& products, std::int64_t rows, std::int64_t context,
                  int threads) {
  const at::NoGradGuard no_grad;
  at::set_num_threads(threads);
  btm::use_page_arena(btm::MemoryUse::kEvaluation);
  const auto model = model_of(products);
  const auto predictor = btm::make_predictor(
      {{"model", model}}, btm::Posterior(btm::Prior::uniform(1), btm::PosteriorRule::kFull),
      rows * (context + 128));
  btm::Predictor::Step step;
  for (std::int64_t i = 0; i < rows; ++i) {
    step.rows.push_back(predictor->open(context + 104).value());
    step.counts.push_back(context);
    for (std::int64_t n = 0; n < context; ++n) {
      step.tokens.push_back(n == 0 ? 2 : 4 + (n * 7919 + i) % (kVocabulary - 4));
      step.wants.push_back({.target = 4 + (n * 7919 + i) % 5000});
    }
  }
  const auto start = std::chrono::steady_clock::now();
  predictor->advance(step);
  const double prompt = seconds_since(start);
  const double seconds = decode(*predictor, step.rows), bandwidth = read_bandwidth();
  const double bytes =
      static_cast<double>(model->num_parameters() - 1026 * 768) * (products == "fp32"   ? 4
                                                                   : products == "bf16" ? 2
                                                                                        : 4);
  std::printf("%.1f prompt tokens/s, %.1f decoded tokens/s, %.3f of %.1f GB/s\n",
              static_cast<double>(rows * context) / prompt, static_cast<double>(rows) / seconds,
              bytes / seconds / 1e9 / bandwidth, bandwidth);
}
