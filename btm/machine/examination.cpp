#include "btm/machine/examination.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "btm/machine/version_facts.h"
#include "btm/machine/waiting_threads.h"
#include "compat/base/concat.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/program/resource_limits.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

#ifdef BTM_CUDA
constexpr bool kBuiltForGpus = true;
#else
constexpr bool kBuiltForGpus = false;
#endif

std::string gigabytes(std::uint64_t bytes) {
  return compat::decimal(static_cast<double>(bytes) / 1e9, 1) + " GB";
}

/// MemAvailable of /proc/meminfo, in bytes; 0 when it is not there.
std::uint64_t available_memory() {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    const auto words = compat::split_whitespace(line);
    if (words.size() < 2 || words[0] != "MemAvailable:") continue;
    return compat::number_of<std::uint64_t>(words[1]).value_or(0) * 1024;
  }
  return 0;
}

/// "model name" of /proc/cpuinfo.
std::string processor_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name"))
      return std::string(compat::strip(std::string_view(line).substr(line.find(':') + 1)));
  return "unknown";
}

bool is_in_path(const char* program) {
  const char* const path = std::getenv("PATH");
  for (const std::string& folder : compat::split_at(path != nullptr ? path : "", ':'))
    if (::access((fs::path(folder) / program).c_str(), X_OK) == 0) return true;
  return false;
}

Finding examine_processor() {
  const std::vector<std::string> features = processor_features();
  const auto has = [&](const char* name) {
    return std::ranges::find(features, name) != features.end();
  };
  Finding finding{"processor", Fitness::kGood,
                  compat::concat(processor_name(), "; ", compat::join(features, " ")), ""};
  if (!has("avx2")) {
    finding.fitness = Fitness::kNotice;
    finding.advice = "without avx2 products take several times as long";
  } else if (has("avx512_bf16")) {
    finding.found += ": --bf16 pays";
  }
  return finding;
}

Finding examine_nccl() {
  const std::string version = nccl_version();
  return {"NCCL", Fitness::kGood,
          version.empty() ? "not in this build: several ranks sum with gloo" : version, ""};
}

Finding examine_slurm() {
  return {"Slurm", Fitness::kGood,
          is_in_path("sbatch") ? "sbatch is there: btm run --executor slurm"
                               : "no sbatch: btm run works on this machine alone",
          ""};
}

}  // namespace

Finding examine_threads(int usable, int all, const std::string& omp_num_threads, bool give_way) {
  Finding finding{"threads", Fitness::kGood, compat::concat(usable, " of ", all, " cores"), ""};
  if (usable < all) finding.found += " (affinity or the container's quota)";
  if (!omp_num_threads.empty()) {
    finding.found += ", OMP_NUM_THREADS=" + omp_num_threads;
    if (compat::number_of<int>(omp_num_threads).value_or(0) > usable) {
      finding.fitness = Fitness::kNotice;
      finding.advice = "unset OMP_NUM_THREADS: more threads than cores wait for each other";
      return finding;
    }
  }
  finding.found += give_way ? "; waiting threads give way" : "; waiting threads keep their core";
  if (!give_way) {
    finding.fitness = Fitness::kNotice;
    finding.advice = "beside other programs unset OMP_WAIT_POLICY and GOMP_SPINCOUNT";
  }
  return finding;
}

Finding examine_memory(std::uint64_t usable, std::uint64_t available) {
  Finding finding{"memory", Fitness::kGood,
                  compat::concat(gigabytes(usable), ", ", gigabytes(available), " free"), ""};
  // Of a 125M model: fp32 weights take 0.5 GB; training adds gradients and Adam's state, 1.5 GB.
  if (available < 600'000'000) {
    finding.fitness = Fitness::kUnfit;
    finding.advice = "a model of 125M parameters needs 0.6 GB to evaluate, 2.5 GB to train";
  } else if (available < 2'500'000'000) {
    finding.fitness = Fitness::kNotice;
    finding.advice = "enough to evaluate a model of 125M parameters; to train it takes 2.5 GB";
  }
  return finding;
}

Finding examine_disk(const std::string& folder, std::uint64_t available) {
  Finding finding{"disk", Fitness::kGood, compat::concat(gigabytes(available), " free in ", folder),
                  ""};
  if (available < 2'000'000'000) {
    finding.fitness = available < 100'000'000 ? Fitness::kUnfit : Fitness::kNotice;
    finding.advice =
        "a checkpoint of 125M parameters takes 1.5 GB with Adam's state; "
        "'btm cache clear' frees space";
  }
  return finding;
}

Finding examine_gpu(bool device, bool built) {
  if (!device) return {"GPU", Fitness::kGood, built ? "none: the CPU is used" : "none", ""};
  if (built) return {"GPU", Fitness::kGood, "NVIDIA, in use unless --cpu", ""};
  return {"GPU", Fitness::kNotice, "NVIDIA, which this build cannot use",
          "build with -DBTM_CUDA=ON"};
}

std::vector<Finding> examine_machine(const fs::path& folder) {
  const char* const threads = std::getenv("OMP_NUM_THREADS");
  const std::uint64_t memory = compat::usable_memory();
  std::error_code ignored;
  const fs::space_info space = fs::space(folder, ignored);
  return {
      {"LibTorch", Fitness::kGood, libtorch_version(), ""},
      examine_processor(),
      examine_threads(compat::usable_cores(), static_cast<int>(std::thread::hardware_concurrency()),
                      threads != nullptr ? threads : "", waiting_threads_give_way()),
      examine_memory(memory, std::min(memory, available_memory())),
      examine_disk(folder.string(), ignored ? 0 : space.available),
      examine_gpu(fs::exists("/dev/nvidia0", ignored), kBuiltForGpus),
      examine_nccl(),
      examine_slurm()};
}

}  // namespace btm
