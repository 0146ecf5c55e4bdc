#include "btm/model/page_arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace btm {
namespace {

constexpr std::size_t kFrame = PageArena::kFrame;
constexpr std::size_t kPage = 4096;

bool is_zero(const void* block, std::size_t size) {
  const auto* const bytes = static_cast<const unsigned char*>(block);
  return std::all_of(bytes, bytes + size, [](unsigned char byte) { return byte == 0; });
}

/// Two sweeps of an arena that waits one sweep and uses only its lowest free frame.
void sweep_twice(PageArena& arena) {
  for (int i = 0; i < 2; ++i) arena.release(arena.allocate(kFrame));
}

TEST(PageArena, PlacesBlocksAsLowAsTheyFit) {
  PageArena arena(8 * kFrame, 100 * kFrame);
  auto* const first = static_cast<std::byte*>(arena.allocate(3 * kPage));
  auto* const second = static_cast<std::byte*>(arena.allocate(1));
  auto* const third = static_cast<std::byte*>(arena.allocate(kFrame));
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % kFrame, 0U);
  EXPECT_EQ(second - first, static_cast<std::ptrdiff_t>(3 * kPage));
  EXPECT_EQ(third - second, static_cast<std::ptrdiff_t>(kPage));
  EXPECT_EQ(arena.in_use(), 4 * kPage + kFrame);
  arena.release(first);
  EXPECT_EQ(arena.allocate(4 * kPage), third + kFrame);  // the hole is too small
  EXPECT_EQ(arena.allocate(2 * kPage), first);
}

TEST(PageArena, RefusesWhatHasNoRoomAndGoesOn) {
  PageArena arena(2 * kFrame, kFrame);
  EXPECT_EQ(arena.allocate(2 * kFrame + 1), nullptr);
  EXPECT_EQ(arena.allocate(SIZE_MAX), nullptr);
  void* const all = arena.allocate(2 * kFrame);
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(arena.allocate(1), nullptr);
  arena.release(all);
  EXPECT_EQ(arena.allocate(1), all);
  PageArena impossible(SIZE_MAX / 2, kFrame);
  EXPECT_EQ(impossible.allocate(1), nullptr);
  PageArena empty(0, kFrame);
  EXPECT_EQ(empty.allocate(1), nullptr);
}

TEST(PageArena, GivesBackWhatStaysFreeWhileOthersAreMade) {
  PageArena arena(16 * kFrame, 2 * kFrame);
  void* const kept = arena.allocate(kFrame);
  void* const idle = arena.allocate(4 * kFrame);
  std::memset(idle, 7, 4 * kFrame);
  arena.release(idle);
  EXPECT_EQ(arena.held(), 5 * kFrame);
  for (int i = 0; i < 4; ++i)
    arena.release(arena.allocate(kFrame));  // always the first frame after `kept`
  EXPECT_EQ(arena.held(), 2 * kFrame);
  void* const again = arena.allocate(4 * kFrame);
  EXPECT_EQ(again, idle);
  EXPECT_TRUE(is_zero(static_cast<std::byte*>(again) + kFrame, 3 * kFrame)) << "not given back";
  EXPECT_TRUE(arena.contains(kept));
  EXPECT_FALSE(arena.contains(&arena));
}

TEST(PageArena, GivesBackOnlyWholeFreeFrames) {
  PageArena arena(4 * kFrame, kFrame);
  void* const block = arena.allocate(2 * kFrame + kPage);
  auto* const neighbour = static_cast<std::byte*>(arena.allocate(kPage));
  std::memset(neighbour, 7, kPage);
  arena.release(block);
  sweep_twice(arena);
  EXPECT_EQ(arena.held(), 2 * kFrame);
  EXPECT_EQ(neighbour[0], std::byte{7});
  arena.release(neighbour);
  sweep_twice(arena);
  EXPECT_EQ(arena.held(), kFrame);
}

TEST(PageArena, KeepsTheBytesOfRandomBlocksOfSeveralThreads) {
  PageArena arena(64 * kFrame, kFrame);
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::pair<unsigned char*, std::size_t>> blocks;
    for (int step = 0; step < 400; ++step) {
      if (blocks.size() < 6) {
        const std::size_t size = 1 + random() % (kFrame + kFrame / 2);
        auto* const block = static_cast<unsigned char*>(arena.allocate(size));
        ASSERT_NE(block, nullptr);
        block[0] = block[size - 1] = static_cast<unsigned char>(size % 251);
        blocks.emplace_back(block, size);
      } else {
        const std::size_t i = random() % blocks.size();
        const auto [block, size] = blocks[i];
        ASSERT_EQ(block[0], size % 251);
        ASSERT_EQ(block[size - 1], size % 251);
        arena.release(block);
        blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    for (const auto& [block, size] : blocks) arena.release(block);
  };
  std::thread other(work, 2);
  work(1);
  other.join();
  EXPECT_EQ(arena.in_use(), 0U);
}

}  // namespace
}  // namespace btm
