// Which documents of a corpus are for validation and test: a seeded draw of whole documents that
// weighs them by their size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace converters {

class DocumentSplit {
 public:
  /// Shares of the text (its bytes) for valid and test; the rest is for train.
  DocumentSplit(double valid, double test, std::int64_t seed);

  /// The lot that a document draws, by its place in its file. Documents of one lot stay together.
  std::uint32_t lot(std::uint64_t file_number, std::uint64_t offset) const noexcept;
  /// Counts a document of `bytes` with this lot. All documents are added before share_out().
  void add(std::uint32_t lot, std::uint64_t bytes);
  /// Goes through the lots in order and gives each to valid, then to test, where that brings their
  /// bytes closer to their share. A split that is asked for and got nothing gets the smallest lot
  /// that is left, as long as train keeps one.
  void share_out();

  /// 0 train, 1 valid, 2 test.
  std::size_t of(std::uint32_t lot) const noexcept { return split_[lot]; }

  struct Part {
    std::uint64_t documents = 0, bytes = 0,
                  largest = 0;  ///< `largest`: bytes of its largest document.
  };
  Part part(std::size_t split) const noexcept;
  double wanted_share(std::size_t split) const noexcept { return share_[split]; }

 private:
  void take(std::size_t split, std::uint64_t total);
  void take_smallest(std::size_t split);

  std::array<double, 3> share_;
  std::int64_t seed_;
  std::vector<Part> lots_;
  std::vector<std::uint8_t> split_;
};

}  // namespace converters
