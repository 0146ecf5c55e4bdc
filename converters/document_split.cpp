#include "converters/document_split.h"

#include <algorithm>

namespace converters {
namespace {

constexpr int kLotBits =
    16;  // the shares are met to one in 65,536, whatever the number of documents
constexpr std::uint64_t kCloseEnough =
    50;  // to 1/50 of a split's share: what is left would be filled with tiny documents

}  // namespace

DocumentSplit::DocumentSplit(double valid, double test, std::int64_t seed)
    : share_{1 - valid - test, valid, test},
      seed_(seed),
      lots_(std::size_t{1} << kLotBits),
      split_(lots_.size(), 0) {}

std::uint32_t DocumentSplit::lot(std::uint64_t file_number, std::uint64_t offset) const noexcept {
  // splitmix64's finaliser over the three numbers: any document's lot can be drawn without those
  // before it.
  std::uint64_t state = static_cast<std::uint64_t>(seed_);
  for (const std::uint64_t value : {file_number, offset}) {
    state += value + 0x9E3779B97F4A7C15;
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB;
    state ^= state >> 31;
  }
  return static_cast<std::uint32_t>(state >> (64 - kLotBits));
}

void DocumentSplit::add(std::uint32_t lot, std::uint64_t bytes) {
  Part& part = lots_[lot];
  ++part.documents;
  part.bytes += bytes;
  part.largest = std::max(part.largest, bytes);
}

void DocumentSplit::take(std::size_t split, std::uint64_t total) {
  const auto wanted = static_cast<std::uint64_t>(share_[split] * static_cast<double>(total));
  std::uint64_t left = wanted;
  for (std::size_t lot = 0; lot < lots_.size() && left > wanted / kCloseEnough; ++lot) {
    const Part& part = lots_[lot];
    if (part.documents == 0 || split_[lot] != 0 || part.bytes / 2 >= left) continue;
    split_[lot] = static_cast<std::uint8_t>(split);
    left -= std::min(left, part.bytes);
  }
}

void DocumentSplit::take_smallest(std::size_t split) {
  std::vector<std::size_t> free;
  for (std::size_t lot = 0; lot < lots_.size(); ++lot)
    if (lots_[lot].documents > 0 && split_[lot] == 0) free.push_back(lot);
  if (free.size() < 2) return;
  split_[*std::ranges::min_element(free, {}, [&](std::size_t lot) { return lots_[lot].bytes; })] =
      static_cast<std::uint8_t>(split);
}

void DocumentSplit::share_out() {
  std::uint64_t total = 0;
  for (const Part& part : lots_) total += part.bytes;
  for (const std::size_t split : {1, 2}) {
    if (share_[split] <= 0) continue;
    take(split, total);
    if (part(split).documents == 0) take_smallest(split);
  }
}

DocumentSplit::Part DocumentSplit::part(std::size_t split) const noexcept {
  Part sum;
  for (std::size_t lot = 0; lot < lots_.size(); ++lot) {
    if (split_[lot] != split) continue;
    sum.documents += lots_[lot].documents;
    sum.bytes += lots_[lot].bytes;
    sum.largest = std::max(sum.largest, lots_[lot].largest);
  }
  return sum;
}

}  // namespace converters
