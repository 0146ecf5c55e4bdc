// Memory for large blocks that come and go, in huge pages and with little more resident than is in
// use.
//
// Training keeps hundreds of MB of activations from the forward pass until the backward pass frees
// them, while gradients fill as much. malloc keeps what is freed, so that a process needs room for
// both; giving everything back at once costs a page fault every 4 KB when it is needed again. Here
// blocks lie as low as they fit in one range of addresses, and what has been free while many other
// blocks were made goes back to the system in pages of 2 MiB.
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

  /// Reserves `capacity` bytes of addresses, not memory. A frame goes back when it stayed free
  /// while `patience` to twice as many bytes of blocks were made.
  PageArena(std::size_t capacity, std::size_t patience);
  ~PageArena();
  PageArena(const PageArena&) = delete;
  PageArena& operator=(const PageArena&) = delete;

  /// A block of uninitialised memory at the start of a page of 4 KiB, or nullptr when there is no
  /// room (or no arena: the addresses could not be had). `size` > 0.
  void* allocate(std::size_t size);
  void release(void* block);
  bool contains(const void* place) const noexcept;

  std::size_t in_use() const;  ///< Bytes of blocks, rounded up to pages.
  std::size_t held() const;    ///< Bytes of the frames that may be resident, blocks included.

 private:
  /// Of a frame: whether it may be resident; whether a block of it was made or released since the
  /// last sweep.
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
  std::size_t top_ = 0;  ///< No frame from here on was ever part of a block.
};

}  // namespace btm
