// A hash map from words to small values, for loops that look up every token of a corpus.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace compat {

/// A hash of bytes. Words of up to 16 bytes take two multiplications.
inline std::uint64_t hash_word(std::string_view word) noexcept {
  constexpr std::uint64_t kA = 0xa0761d6478bd642f, kB = 0xe7037ed1a0b428db;
  const auto mix = [](std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  const auto load = [](const char* at, auto value) {
    std::memcpy(&value, at, sizeof value);
    return static_cast<std::uint64_t>(value);
  };
  const char* at = word.data();
  std::size_t left = word.size();
  std::uint64_t seed = kA, a = 0, b = 0;
  for (; left > 16; at += 16, left -= 16)
    seed = mix(load(at, std::uint64_t{}) ^ kB, load(at + 8, std::uint64_t{}) ^ seed);
  if (left >= 8) {
    a = load(at, std::uint64_t{}), b = load(at + left - 8, std::uint64_t{});
  } else if (left >= 4) {
    a = load(at, std::uint32_t{}), b = load(at + left - 4, std::uint32_t{});
  } else if (left > 0) {
    a = (load(at, std::uint8_t{}) << 16) | (load(at + left / 2, std::uint8_t{}) << 8) |
        load(at + left - 1, std::uint8_t{});
  }
  return mix(kA ^ word.size(), mix(a ^ kB, b ^ seed));
}

/// Open addressing. Keys are copied into blocks that never move. A word has at most 2^32-1 bytes.
template <class Value>
class WordMap {
 public:
  explicit WordMap(std::size_t expected = 0) { resize_for(expected); }

  std::size_t size() const noexcept { return size_; }

  /// The value of `word`, or null. Valid until the next insert() or clear().
  const Value* find(std::string_view word) const noexcept {
    const Slot& slot = slots_[position(word, hash_word(word))];
    return slot.key == nullptr ? nullptr : &slot.value;
  }

  /// The value of `word`, inserted as `initial` when it was absent. Also returns whether it was
  /// absent.
  std::pair<Value*, bool> insert(std::string_view word, Value initial) {
    if ((size_ + 1) * 2 > slots_.size()) resize_for(size_ * 2 + 1);
    const std::uint64_t hash = hash_word(word);
    Slot& slot = slots_[position(word, hash)];
    if (slot.key != nullptr) return {&slot.value, false};
    slot = {keep(word), static_cast<std::uint32_t>(word.size()),
            static_cast<std::uint32_t>(hash >> 32), initial};
    ++size_;
    return {&slot.value, true};
  }

  void clear() {
    slots_.assign(slots_.size(), {});
    blocks_.clear();
    room_ = 0;
    size_ = 0;
  }

  /// Calls `visit(word, value)` for every word, in any order.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_)
      if (slot.key != nullptr) visit(std::string_view(slot.key, slot.size), slot.value);
  }

 private:
  struct Slot {
    const char* key = nullptr;
    std::uint32_t size = 0,
                  hash = 0;  ///< The upper half of the hash. The lower half chooses the slot.
    Value value{};
  };
  static constexpr std::size_t kBlockBytes = std::size_t{1} << 16;

  std::size_t position(std::string_view word, std::uint64_t hash) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    const auto high = static_cast<std::uint32_t>(hash >> 32);
    std::size_t at = static_cast<std::size_t>(hash) & mask;
    for (; slots_[at].key != nullptr; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.hash == high && slot.size == word.size() &&
          std::memcmp(slot.key, word.data(), word.size()) == 0)
        break;
    }
    return at;
  }

  void resize_for(std::size_t entries) {
    std::size_t count = 64;
    while (count < entries * 2) count *= 2;
    std::vector<Slot> old(count);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.key != nullptr) {
        const std::string_view word(slot.key, slot.size);
        slots_[position(word, hash_word(word))] = slot;
      }
    }
  }

  const char* keep(std::string_view word) {
    if (word.size() > room_) {
      room_ = std::max(kBlockBytes, word.size());
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(room_));
      free_ = blocks_.back().get();
    }
    char* const copy = free_;
    std::memcpy(copy, word.data(), word.size());
    free_ += word.size();
    room_ -= word.size();
    return copy;
  }

  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* free_ = nullptr;
  std::size_t room_ = 0, size_ = 0;
};

}  // namespace compat
