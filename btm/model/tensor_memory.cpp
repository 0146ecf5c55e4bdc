#include "btm/model/tensor_memory.h"

#include <ATen/core/Tensor.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "btm/model/page_arena.h"

namespace btm {
namespace {

constexpr std::size_t kSmallest = std::size_t{1} << 20;
constexpr std::uintptr_t kPage = 4096;

/// Never destroyed: tensors of static lifetime may be in it.
PageArena* arena = nullptr;

class ArenaAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t size) override {
    if (size >= kSmallest)
      if (void* const block = arena->allocate(size))
        return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
    return c10::GetDefaultCPUAllocator()->allocate(size);
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release_any; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    std::memcpy(to, from, count);
  }

 private:
  static void release(void* block) { arena->release(block); }
  /// For memory that was allocated without a DataPtr, as oneDNN does.
  static void release_any(void* block) {
    if (arena->contains(block))
      release(block);
    else
      c10::GetDefaultCPUAllocator()->raw_deleter()(block);
  }
};

}  // namespace

void use_page_arena(MemoryUse use) {
  if (arena != nullptr) return;
  const auto pages = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)),
             size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  arena = new PageArena(pages * size, use == MemoryUse::kTraining ? 16 * kMiB : 1024 * kMiB);
  c10::SetCPUAllocator(new ArenaAllocator, /*priority=*/1);
}

void zero_lazily(const at::Tensor& tensor) {
  if (!tensor.is_cpu()) {
    tensor.zero_();
    return;
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(tensor.data_ptr()),
             end = begin + tensor.nbytes();
  const std::uintptr_t first = std::min((begin + kPage - 1) / kPage * kPage, end),
                       last = std::max(end / kPage * kPage, first);
  std::memset(reinterpret_cast<void*>(begin), 0, first - begin);
  if (last > first && ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED) != 0)
    std::memset(reinterpret_cast<void*>(first), 0, last - first);  // memory that is locked stays
  std::memset(reinterpret_cast<void*>(last), 0, end - last);
}

}  // namespace btm
