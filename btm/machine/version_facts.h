// What `btm --version` says of libraries and the machine.
#pragma once

#include <string>
#include <vector>

namespace btm {

/// The version of LibTorch: "2.11.0".
std::string libtorch_version();
/// The instructions that speed btm up and that this processor has: "avx2", "avx512f",
/// "avx512_bf16", "amx_bf16".
std::vector<std::string> processor_features();
/// The version of NCCL; "" in a build without it.
std::string nccl_version();

/// These, a line each, for compat::Program.
std::string version_facts();

}  // namespace btm
