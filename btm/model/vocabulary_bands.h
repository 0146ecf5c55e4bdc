// The bands of a vocabulary in adaptive inputs and adaptive softmax: the more frequent a word, the
// wider its vectors. No torch here.
#pragma once

#include <cstdint>
#include <vector>

namespace btm {

/// The tokens [first, end), whose vectors have `width` numbers.
struct VocabularyBand {
  std::int64_t first = 0, end = 0, width = 0;
  std::int64_t size() const noexcept { return end - first; }
};

/// The bands that `cutoff` (ascending) cuts `vocabulary` into. Band i is `width` divided by
/// factor^i, rounded down, wide. UnsupportedError for a cutoff beyond the vocabulary.
std::vector<VocabularyBand> vocabulary_bands(const std::vector<std::int64_t>& cutoff,
                                             std::int64_t vocabulary, std::int64_t width,
                                             double factor);

/// The width of band `i`: Python's int(width // factor ** i).
std::int64_t band_width(std::int64_t width, double factor, std::size_t i);

}  // namespace btm
