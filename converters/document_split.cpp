#include "converters/document_split.h"

#include <algorithm>
#include <ostream>

#include "compat/base/numbers.h"

namespace converters {
namespace {

constexpr int kBucketBits = 16;  // splits are exact to one part in 65,536
constexpr std::uint64_t kCloseEnough =
    50;  // a split is full at 49/50: tiny documents would fill the rest

}  // namespace

DocumentSplit::DocumentSplit(double valid, double test, std::int64_t seed)
    : share_{1 - valid - test, valid, test},
      seed_(seed),
      buckets_(std::size_t{1} << kBucketBits),
      split_(buckets_.size(), 0) {}

std::uint32_t DocumentSplit::bucket(std::uint64_t file_number,
                                    std::uint64_t offset) const noexcept {
  // splitmix64's finaliser of the three numbers. A document's bucket does not depend on the
  // documents before it.
  std::uint64_t state = static_cast<std::uint64_t>(seed_);
  for (const std::uint64_t value : {file_number, offset}) {
    state += value + 0x9E3779B97F4A7C15;
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB;
    state ^= state >> 31;
  }
  return static_cast<std::uint32_t>(state >> (64 - kBucketBits));
}

void DocumentSplit::add(std::uint32_t bucket, std::uint64_t bytes) {
  Part& part = buckets_[bucket];
  ++part.documents;
  part.bytes += bytes;
  part.largest = std::max(part.largest, bytes);
}

void DocumentSplit::take(std::size_t split, std::uint64_t total) {
  const auto wanted = static_cast<std::uint64_t>(share_[split] * static_cast<double>(total));
  std::uint64_t left = wanted;
  for (std::size_t bucket = 0; bucket < buckets_.size() && left > wanted / kCloseEnough; ++bucket) {
    const Part& part = buckets_[bucket];
    if (part.documents == 0 || split_[bucket] != 0 || part.bytes / 2 >= left) continue;
    split_[bucket] = static_cast<std::uint8_t>(split);
    left -= std::min(left, part.bytes);
  }
}

void DocumentSplit::take_smallest_bucket(std::size_t split) {
  std::vector<std::size_t> free;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket)
    if (buckets_[bucket].documents > 0 && split_[bucket] == 0) free.push_back(bucket);
  if (free.size() < 2) return;
  split_[*std::ranges::min_element(free, {}, [&](std::size_t bucket) {
    return buckets_[bucket].bytes;
  })] = static_cast<std::uint8_t>(split);
}

void DocumentSplit::assign() {
  std::uint64_t total = 0;
  for (const Part& part : buckets_) total += part.bytes;
  for (const std::size_t split : {1, 2}) {
    if (share_[split] <= 0) continue;
    take(split, total);
    if (part(split).documents == 0) take_smallest_bucket(split);
  }
}

DocumentSplit::Part DocumentSplit::part(std::size_t split) const noexcept {
  Part sum;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    if (split_[bucket] != split) continue;
    sum.documents += buckets_[bucket].documents;
    sum.bytes += buckets_[bucket].bytes;
    sum.largest = std::max(sum.largest, buckets_[bucket].largest);
  }
  return sum;
}

void tell_split(const DocumentSplit& split, const std::vector<std::string>& names,
                std::ostream& log) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < 3; ++i) total += split.part(i).bytes;
  const auto percent = [](double part, double whole) {
    return compat::decimal(100 * part / std::max(whole, 1.0), 1) + "%";
  };
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    const DocumentSplit::Part part = split.part(i);
    const double share = static_cast<double>(part.bytes) /
                         static_cast<double>(std::max<std::uint64_t>(total, 1)),
                 wanted = split.wanted_share(i);
    if (i > 0 && (share > 1.5 * wanted || share < wanted / 1.5))
      log << names[i] << ": warning: holds " << percent(share, 1) << " of the text, expected "
          << percent(wanted, 1) << ": whole documents do not fit better" << std::endl;
    if (part.largest * 2 > part.bytes)
      log << names[i] << ": warning: one document is "
          << percent(static_cast<double>(part.largest), static_cast<double>(part.bytes))
          << " of its text" << std::endl;
  }
}

}  // namespace converters
