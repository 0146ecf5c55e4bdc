// Where the memory of large CPU tensors comes from.
#pragma once

namespace at {
class Tensor;
}

namespace btm {

/// An evaluation makes the same tensors again and again: what is free is kept. In training
/// activations and gradients take turns, and what stays free goes back, which costs a twentieth of
/// the speed on 2 cores and saves a sixth of the memory.
enum class MemoryUse { kEvaluation, kTraining };

/// Has tensors of 1 MiB and more on the CPU live in a PageArena from now on; LibTorch's own
/// allocator stays for the others, and where addresses as large as the machine's memory cannot be
/// reserved. The first call decides. To be called before other threads make tensors.
void use_page_arena(MemoryUse use);

/// tensor.zero_() of a contiguous tensor that LibTorch allocated. On the CPU its memory goes back
/// to the system, which provides zeros where it is used again.
void zero_lazily(const at::Tensor& tensor);

}  // namespace btm
