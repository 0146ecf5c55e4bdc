// Where the memory of large CPU tensors comes from.
#pragma once

namespace at {
class Tensor;
}

namespace btm {

/// An evaluation makes the same tensors again and again, so free memory is kept. In training
/// activations and gradients take turns, so free memory goes back to the system. That costs a
/// twentieth of the speed on 2 cores and saves a sixth of the memory.
enum class MemoryUse { kEvaluation, kTraining };

/// From now on a PageArena holds CPU tensors of 1 MiB and more. LibTorch's own allocator serves the
/// others, and all where the addresses cannot be reserved. Only the first call counts. Call it
/// before other threads make tensors.
void use_page_arena(MemoryUse use);

/// tensor.zero_() for a contiguous tensor that LibTorch allocated. On the CPU its memory goes back
/// to the system, which provides zeros at the next use.
void zero_lazily(const at::Tensor& tensor);

}  // namespace btm
