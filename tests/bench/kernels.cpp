// What the machine can do, and what btm's data-bin reader does: figures that scripts/bench compares
// with.
//   bench_kernels sgemm THREADS        GF/s of the best of ten products of 2048 x 2048 matrices
//   bench_kernels gpu-matmul DTYPE     GF/s of products of 8192 x 8192 matrices of float32, float16
//   or bfloat16 on the GPU
//   bench_kernels data-bin PREFIX      tokens/s of reading random blocks of 1024 tokens
//   bench_kernels products THREADS     see decode.h
//   bench_kernels decode PRODUCTS ROWS CONTEXT THREADS      see decode.h
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "compat/fairseq/indexed_dataset.h"
#include "tests/bench/decode.h"

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void sgemm(int threads) {
  const at::NoGradGuard no_grad;
  at::set_num_threads(threads);
  constexpr std::int64_t kSize = 2048;
  const at::Tensor a = at::rand({kSize, kSize}), b = at::rand({kSize, kSize});
  double best = 1e9;
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    at::mm(a, b);
    best = std::min(best, seconds_since(start));
  }
  std::printf("%.2f GF/s\n", 2.0 * kSize * kSize * kSize / best / 1e9);
}

int gpu_matmul(const std::string& name) {
  const at::NoGradGuard no_grad;
  if (!at::hasCUDA()) {
    std::fputs("bench_kernels: no GPU\n", stderr);
    return 1;
  }
  const at::ScalarType dtype = name == "float32"   ? at::kFloat
                               : name == "float16" ? at::kHalf
                                                   : at::kBFloat16;
  constexpr std::int64_t kSize = 8192, kProducts = 20;
  const auto options = at::TensorOptions().dtype(dtype).device(at::kCUDA);
  const at::Tensor a = at::randn({kSize, kSize}, options), b = at::randn({kSize, kSize}, options);
  at::Tensor c = at::mm(a, b);
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    c[0][0].item<float>();  // waits
    const auto start = std::chrono::steady_clock::now();
    for (int product = 0; product < kProducts; ++product) at::mm_out(c, a, b);
    c[0][0].item<float>();
    best = std::min(best, seconds_since(start) / kProducts);
  }
  std::printf("%.2f GF/s\n", 2.0 * kSize * kSize * kSize / best / 1e9);
  return 0;
}

void random_blocks(const std::string& prefix) {
  constexpr std::int64_t kBlock = 1024, kReads = 200000;
  const auto dataset = compat::IndexedDataset::open(prefix);
  std::mt19937_64 random(1);
  std::vector<std::int64_t> block(kBlock);
  std::int64_t tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < kReads; ++i) {
    const auto sequence =
        static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(dataset->size()));
    const std::int64_t size = dataset->sizes()[static_cast<std::size_t>(sequence)];
    const auto length = std::min(kBlock, size);
    dataset->read(sequence, 0, std::span(block).first(static_cast<std::size_t>(length)));
    tokens += length;
  }
  std::printf("%.0f tokens/s\n", static_cast<double>(tokens) / seconds_since(start));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 2 && args[0] == "sgemm") {
    sgemm(std::stoi(args[1]));
  } else if (args.size() == 2 && args[0] == "gpu-matmul") {
    return gpu_matmul(args[1]);
  } else if (args.size() == 2 && args[0] == "data-bin") {
    random_blocks(args[1]);
  } else if (args.size() == 2 && args[0] == "products") {
    bench_products(std::stoi(args[1]));
  } else if (args.size() == 5 && args[0] == "decode") {
    bench_decode(args[1], std::stoll(args[2]), std::stoll(args[3]), std::stoi(args[4]));
  } else {
    std::fputs(
        "usage: bench_kernels sgemm THREADS | products THREADS | gpu-matmul DTYPE | data-bin "
        "PREFIX | decode PRODUCTS "
        "ROWS CONTEXT THREADS\n",
        stderr);
    return 2;
  }
  return 0;
}
