// What the machine can do, and what btm's data-bin reader does: figures that scripts/bench compares with.
//   bench_kernels sgemm THREADS        GF/s of the best of ten products of 2048 x 2048 matrices
//   bench_kernels data-bin PREFIX      tokens/s of reading random blocks of 1024 tokens
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "compat/indexed_dataset.h"

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

void random_blocks(const std::string& prefix) {
  constexpr std::int64_t kBlock = 1024, kReads = 200000;
  const auto dataset = compat::IndexedDataset::open(prefix);
  std::mt19937_64 random(1);
  std::vector<std::int64_t> block(kBlock);
  std::int64_t tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < kReads; ++i) {
    const auto sequence = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(dataset->size()));
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
  } else if (args.size() == 2 && args[0] == "data-bin") {
    random_blocks(args[1]);
  } else {
    std::fputs("usage: bench_kernels sgemm THREADS | data-bin PREFIX\n", stderr);
    return 2;
  }
  return 0;
}
