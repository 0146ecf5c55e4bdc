// Precompiled for btm_core and its tests. Narrow on purpose: torch/torch.h costs half a minute a
// file.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>
