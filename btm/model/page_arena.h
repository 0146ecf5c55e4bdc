// Memory for large short-lived blocks, in huge pages, with little resident memory beyond what is in
// use.
//
// Training holds hundreds of MB of activations until the backward pass frees them, while gradients
// fill as much. malloc keeps freed memory, so that a process needs room for both. Returning all of
// it at once costs a page fault per 4 KB when it is needed again. This arena places each block as
// low as it fits in one range of addresses. Memory that stayed free while many blocks were made
// goes back to the system in pages of 2 MiB.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace btm {

class PageArena {
 public:
  static constexpr std::size_t kFrame = std::size_t{2} << 20;  ///< A huge page of x86 and arm64.

  /// Reserves `capacity` bytes of addresses, not memory. A frame goes back to the system when it
  /// stayed free while one to two times `patience` bytes of blocks were made.
  PageArena(std::size_t capacity, std::size_t patience);
  ~PageArena();
  PageArena(const PageArena&) = delete;
  PageArena& operator=(const PageArena&) = delete;

  /// A block of uninitialised memory at the start of a page of 4 KiB. nullptr when there is no
  /// room, or when the addresses could not be reserved. `size` > 0.
  void* allocate(std::size_t size);
  void release(void* block);
  bool contains(const void* place) const noexcept;

  std::size_t in_use() const;  ///< Bytes of blocks, rounded up to pages.
  std::size_t held() const;    ///< Bytes of the frames that may be resident, blocks included.

 private:
  /// Per frame: whether it may be resident, and whether a block in it was made or released since
  /// the last sweep.
  struct Frame {
    bool resident = false, used = false;
  };

  void touch(std::size_t begin, std::size_t end, bool resident);
  void sweep();
  void give_back(std::size_t first, std::size_t last);

  mutable std::mutex mutex_;
  void* mapping_ = nullptr;
  std::byte* base_ = nullptr;  ///< The first whole frame of the mapping.
  std::size_t capacity_ = 0, patience_, made_ = 0;
  std::map<std::size_t, std::size_t> free_;  ///< Offset -> size; no two are neighbours.
  std::unordered_map<std::size_t, std::size_t> blocks_;
  std::vector<Frame> frames_;
  std::size_t top_ = 0;  ///< No frame from this one on was ever in use.
};

}  // namespace btm
