// Data sets as one: several joined, ids mapped to another dictionary, sequences chosen and put in
// another order.
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

/// A data set with what its ids mean.
struct DatasetPart {
  std::shared_ptr<const compat::IndexedDataset> dataset;
  /// New id by old id, -1 where there is none; empty: ids stay as they are.
  std::vector<std::int64_t> new_ids;
  std::shared_ptr<const compat::Dictionary> dictionary;  ///< May be null: then ids are not checked.
};

/// New ids by symbol. A symbol that `to` lacks becomes <unk> with `allow_unknown`, else -1.
std::vector<std::int64_t> map_symbols(const compat::Dictionary& from, const compat::Dictionary& to,
                                      bool allow_unknown);

/// The sequences of parts in a chosen order, read through their maps. FormatError in read() for an
/// id that is not in its dictionary or has no new id.
class DatasetView final : public compat::IndexedDataset {
 public:
  /// All sequences, in order. At least one part.
  explicit DatasetView(std::vector<DatasetPart> parts);
  /// The sequences `order` of `all` (places in it, repeats allowed).
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

/// "0:100,500:" as places below `count`: pairs FROM:TO of which either may be left out. UsageError
/// on anything else.
std::vector<std::int64_t> parse_ranges(std::string_view text, std::int64_t count);

/// `order` shuffled by Fisher and Yates with std::mt19937_64(seed): the same on every machine.
std::vector<std::int64_t> shuffled(std::vector<std::int64_t> order, std::uint64_t seed);

}  // namespace converters
