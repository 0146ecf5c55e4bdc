#include "btm/model/vocabulary_bands.h"

#include <cmath>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {

std::int64_t band_width(std::int64_t width, double factor, std::size_t i) {
  const double divisor = std::pow(factor, static_cast<double>(i));
  const auto whole = static_cast<double>(width);
  // A division alone may round up to the next integer.
  return static_cast<std::int64_t>(std::round((whole - std::fmod(whole, divisor)) / divisor));
}

std::vector<VocabularyBand> vocabulary_bands(const std::vector<std::int64_t>& cutoff,
                                             std::int64_t vocabulary, std::int64_t width,
                                             double factor) {
  std::vector<std::int64_t> ends = cutoff;
  if (ends.back() > vocabulary)
    throw compat::UnsupportedError(compat::concat(
        "the last cutoff ", ends.back(), " is beyond the vocabulary of ", vocabulary, " symbols"));
  if (ends.back() < vocabulary) ends.push_back(vocabulary);
  std::vector<VocabularyBand> bands;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    bands.push_back({first, ends[i], band_width(width, factor, i)});
    first = ends[i];
  }
  return bands;
}

}  // namespace btm
