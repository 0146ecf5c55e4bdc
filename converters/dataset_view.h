// A view that combines data sets: joined, mapped to another dictionary, with sequences selected and
// reordered.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset.h"

namespace converters {

/// A data set and the meaning of its ids.
struct DatasetPart {
  std::shared_ptr<const compat::IndexedDataset> dataset;
  /// The new id of each old id, or -1. Empty when ids are not changed.
  std::vector<std::int64_t> new_ids;
  std::shared_ptr<const compat::Dictionary> dictionary;  ///< When null, ids are not checked.
};

/// The new id of each symbol. A symbol that `to` lacks gives <unk> with `allow_unknown`, else -1.
std::vector<std::int64_t> map_symbols(const compat::Dictionary& from, const compat::Dictionary& to,
                                      bool allow_unknown);

/// Sequences of several parts in a chosen order, with mapped ids. read() throws a FormatError for
/// an id that is not in its dictionary or has no new id.
class DatasetView final : public compat::IndexedDataset {
 public:
  /// All sequences of the parts in order. There is at least one part.
  explicit DatasetView(std::vector<DatasetPart> parts);
  /// The sequences of `all` at the indices `order`, which may repeat.
  DatasetView(const DatasetView& all, std::vector<std::int64_t> order);

  compat::DatasetImpl impl() const noexcept override { return parts_.front().dataset->impl(); }
  std::string_view dtype() const noexcept override { return parts_.front().dataset->dtype(); }
  const std::string& path() const noexcept override { return parts_.front().dataset->path(); }
  void read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const override;

 private:
  struct Place {
    std::uint32_t part;
    std::int64_t sequence;
  };
  void translate(const DatasetPart& part, std::int64_t sequence, std::span<std::int64_t> ids) const;

  std::vector<DatasetPart> parts_;
  std::vector<Place> places_;
};

/// The indices below `count` in ranges such as "0:100,500:". Each range is FROM:TO, and either may
/// be missing. UsageError for other text.
std::vector<std::int64_t> parse_ranges(std::string_view text, std::int64_t count);

/// `order` shuffled by Fisher and Yates with std::mt19937_64(seed). The result is the same on every
/// machine.
std::vector<std::int64_t> shuffled(std::vector<std::int64_t> order, std::uint64_t seed);

}  // namespace converters
