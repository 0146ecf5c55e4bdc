#include "btm/machine/version_facts.h"

#include <ATen/Version.h>
#include <torch/version.h>
#ifdef BTM_CUDA
#include <nccl.h>
#endif

#include <algorithm>
#include <fstream>

#include "compat/base/concat.h"
#include "compat/base/text.h"

namespace btm {

std::string libtorch_version() { return TORCH_VERSION; }

std::vector<std::string> processor_features() {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line))
    if (line.starts_with("flags")) break;
  const std::vector<std::string_view> flags = compat::split_whitespace(line);
  std::vector<std::string> features;
  for (const char* const name : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"})
    if (std::ranges::find(flags, name) != flags.end()) features.emplace_back(name);
  return features;
}

std::string nccl_version() {
#ifdef BTM_CUDA
  int version = 0;
  if (ncclGetVersion(&version) == ncclSuccess)
    return compat::concat(version / 10000, '.', version / 100 % 100, '.', version % 100);
#endif
  return "";
}

std::string version_facts() {
  const std::string features = compat::join(processor_features(), " "), nccl = nccl_version();
  return compat::concat("LibTorch ", libtorch_version(), ", kernels for ", at::get_cpu_capability(),
                        "\nprocessor: ", features.empty() ? "no avx2" : features,
                        "\nNCCL: ", nccl.empty() ? "not in this build" : nccl, '\n');
}

}  // namespace btm
