#include "btm/model/page_arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace btm {
namespace {

constexpr std::size_t kPage = 4096;

std::size_t rounded_up(std::size_t size, std::size_t unit) {
  return (size + unit - 1) / unit * unit;
}

}  // namespace

PageArena::PageArena(std::size_t capacity, std::size_t patience) : patience_(patience) {
  capacity = capacity / kFrame * kFrame;
  void* const mapping = ::mmap(nullptr, capacity + kFrame, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return;
  mapping_ = mapping;
  base_ = static_cast<std::byte*>(mapping) +
          (kFrame - reinterpret_cast<std::uintptr_t>(mapping) % kFrame) % kFrame;
  capacity_ = capacity;
  ::madvise(base_, capacity_,
            MADV_HUGEPAGE);  // only a hint: pages are small where the system ignores it
  if (capacity > 0) free_.emplace(0, capacity_);
  frames_.resize(capacity_ / kFrame);
}

PageArena::~PageArena() {
  if (mapping_ != nullptr) ::munmap(mapping_, capacity_ + kFrame);
}

/// Marks the frames that [begin, end) overlaps.
void PageArena::touch(std::size_t begin, std::size_t end, bool resident) {
  for (std::size_t i = begin / kFrame; i * kFrame < end; ++i)
    frames_[i] = {frames_[i].resident || resident, true};
}

void* PageArena::allocate(std::size_t size) {
  const std::lock_guard lock(mutex_);
  if (size > capacity_) return nullptr;
  size = rounded_up(size, kPage);
  const auto room =
      std::ranges::find_if(free_, [&](const auto& range) { return range.second >= size; });
  if (room == free_.end()) return nullptr;
  const auto [offset, available] = *room;
  free_.erase(room);
  if (available > size) free_.emplace(offset + size, available - size);
  blocks_.emplace(offset, size);
  touch(offset, offset + size, true);
  top_ = std::max(top_, rounded_up(offset + size, kFrame) / kFrame);
  made_ += size;
  if (made_ >= patience_) sweep();
  return base_ + offset;
}

void PageArena::release(void* block) {
  const std::lock_guard lock(mutex_);
  auto begin = static_cast<std::size_t>(static_cast<std::byte*>(block) - base_);
  const auto found = blocks_.find(begin);
  std::size_t end = begin + found->second;
  blocks_.erase(found);
  touch(begin, end, false);
  auto next = free_.lower_bound(begin);
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == begin) {
      begin = before->first;
      free_.erase(before);
    }
  }
  if (next != free_.end() && next->first == end) {
    end += next->second;
    free_.erase(next);
  }
  free_.emplace(begin, end - begin);
}

/// Returns the free frames that were not used since the last sweep to the system.
void PageArena::sweep() {
  made_ = 0;
  for (const auto& [begin, size] : free_) {
    const std::size_t end = std::min((begin + size) / kFrame, top_);
    std::size_t first = rounded_up(begin, kFrame) / kFrame;
    for (std::size_t i = first; i <= end; ++i) {
      if (i < end && frames_[i].resident && !frames_[i].used) continue;
      if (i > first) give_back(first, i);
      first = i + 1;
    }
  }
  for (std::size_t i = 0; i < top_; ++i) frames_[i].used = false;
}

void PageArena::give_back(std::size_t first, std::size_t last) {
  ::madvise(base_ + first * kFrame, (last - first) * kFrame, MADV_DONTNEED);
  for (std::size_t i = first; i < last; ++i) frames_[i].resident = false;
}

bool PageArena::contains(const void* place) const noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(place),
             base = reinterpret_cast<std::uintptr_t>(base_);
  return at >= base && at < base + capacity_;
}

std::size_t PageArena::in_use() const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const auto& [offset, size] : blocks_) sum += size;
  return sum;
}

std::size_t PageArena::held() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count(frames_, true, &Frame::resident)) * kFrame;
}

}  // namespace btm
