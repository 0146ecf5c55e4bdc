// Precompiled for btm_core only. Narrow on purpose: torch/torch.h costs half a minute a file.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>
