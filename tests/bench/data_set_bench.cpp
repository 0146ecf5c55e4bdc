// Reading speed of data sets on one core: every sequence in order, then blocks at random places.
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "compat/fairseq/indexed_dataset.h"

namespace {

/// Of this thread on its core, so that other work on the machine does not count.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// MB/s of ids, counted with the two bytes each has in an mmap data-bin of fewer than 65500
/// symbols.
void measure(const std::string& prefix) {
  constexpr int kRounds = 5;
  constexpr std::int64_t kBlock = 1024, kBlocks = 2000;
  double best = 1e300;
  std::uint64_t sum = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto dataset = compat::IndexedDataset::open(prefix);  // again: nothing decoded is kept
    std::vector<std::int64_t> ids(1);
    const double start = cpu_seconds();
    for (std::int64_t i = 0; i < dataset->size(); ++i) {
      ids.resize(std::max<std::size_t>(
          1, static_cast<std::size_t>(dataset->sizes()[static_cast<std::size_t>(i)])));
      dataset->read(i, 0,
                    std::span(ids).first(
                        static_cast<std::size_t>(dataset->sizes()[static_cast<std::size_t>(i)])));
      sum += static_cast<std::uint64_t>(ids[0]);
    }
    best = std::min(best, cpu_seconds() - start);
  }
  const auto dataset = compat::IndexedDataset::open(prefix);
  std::mt19937_64 random(1);
  std::vector<std::int64_t> ids(kBlock);
  std::int64_t read = 0;
  const double start = cpu_seconds();
  for (std::int64_t block = 0; block < kBlocks; ++block) {
    // As a shuffled epoch reads: a block's worth of neighbouring sequences.
    auto i = static_cast<std::int64_t>(
        random() % static_cast<std::uint64_t>(std::max<std::int64_t>(1, dataset->size())));
    for (std::int64_t left = kBlock; left > 0 && i < dataset->size(); ++i) {
      const std::int64_t count =
          std::min<std::int64_t>(left, dataset->sizes()[static_cast<std::size_t>(i)]);
      dataset->read(i, 0, std::span(ids).first(static_cast<std::size_t>(count)));
      left -= count;
      read += count;
    }
  }
  const double random_time = cpu_seconds() - start;
  std::uintmax_t bytes = 0;
  for (const char* const suffix : {".bin", ".idx"})
    bytes += std::filesystem::file_size(prefix + suffix);
  const double tokens = static_cast<double>(dataset->total_tokens());
  std::cout << prefix << ": " << compat::impl_name(dataset->impl()) << ", " << bytes << " bytes, "
            << 8.0 * static_cast<double>(bytes) / tokens << " bits a token; in order "
            << 2e-6 * tokens / best << " MB/s, random blocks of " << kBlock << " tokens "
            << 2e-6 * static_cast<double>(read) / random_time << " MB/s (" << sum % 10 << ")\n";
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 2) throw std::invalid_argument("usage: data_set_bench PREFIX...");
    for (int i = 1; i < argc; ++i) measure(argv[i]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
