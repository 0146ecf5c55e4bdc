// Divides a corpus into train, valid and test: a seeded random choice of whole documents by their
// size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace converters {

class DocumentSplit {
 public:
  /// `valid` and `test` are shares of the text in bytes. The rest is train.
  DocumentSplit(double valid, double test, std::int64_t seed);

  /// The random bucket of a document, from its place in its file. Documents of one bucket stay
  /// together.
  std::uint32_t bucket(std::uint64_t file_number, std::uint64_t offset) const noexcept;
  /// Counts a document of `bytes` in its bucket. To be called for all documents before assign().
  void add(std::uint32_t bucket, std::uint64_t bytes);
  /// Assigns buckets in order to valid, then to test, when that brings the split's bytes closer to
  /// its share. A split that is requested and still empty gets the smallest free bucket, if one is
  /// left for train.
  void assign();

  /// The split of a bucket: 0 train, 1 valid, 2 test.
  std::size_t split_of(std::uint32_t bucket) const noexcept { return split_[bucket]; }

  struct Part {
    std::uint64_t documents = 0, bytes = 0,
                  largest = 0;  ///< `largest`: size of its largest document in bytes.
  };
  Part part(std::size_t split) const noexcept;
  double wanted_share(std::size_t split) const noexcept { return share_[split]; }

 private:
  void take(std::size_t split, std::uint64_t total);
  void take_smallest_bucket(std::size_t split);

  std::array<double, 3> share_;
  std::int64_t seed_;
  std::vector<Part> buckets_;
  std::vector<std::uint8_t> split_;
};

/// Writes a warning to `log` for each part that is far from its share, or mostly one document.
/// `names` are those of train, valid and test, "" for a part that is not asked for.
void tell_split(const DocumentSplit& split, const std::vector<std::string>& names,
                std::ostream& log);

}  // namespace converters
