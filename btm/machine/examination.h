// Whether this machine is fit for btm.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace btm {

enum class Fitness : std::uint8_t {
  kGood,
  kNotice,  ///< It works; `advice` makes it better.
  kUnfit,   ///< Training or evaluation would fail or take many times as long.
};

struct Finding {
  std::string name;  ///< "memory"
  Fitness fitness = Fitness::kGood;
  std::string found, advice;  ///< `advice`: "" where there is nothing to do.
};

/// The findings, one for each of: LibTorch, processor, threads, memory, disk (of `folder`), GPU,
/// NCCL, Slurm. Computes nothing and changes nothing.
std::vector<Finding> examine_machine(const std::filesystem::path& folder);

// The rules, apart from this machine.

Finding examine_threads(int usable, int all, const std::string& omp_num_threads, bool give_way);
/// In bytes: what this process may use, and what is free of it.
Finding examine_memory(std::uint64_t usable, std::uint64_t available);
Finding examine_disk(const std::string& folder, std::uint64_t available);
/// `device`: an NVIDIA GPU is there. `built`: this build can use it.
Finding examine_gpu(bool device, bool built);

}  // namespace btm
