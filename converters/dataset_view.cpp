#include "converters/dataset_view.h"

#include <algorithm>
#include <random>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace converters {

std::vector<std::int64_t> map_symbols(const compat::Dictionary& from, const compat::Dictionary& to,
                                      bool allow_unknown) {
  std::vector<std::int64_t> ids;
  for (std::int64_t id = 0; id < from.size(); ++id) {
    const std::string& symbol = from.symbol(id);
    ids.push_back(to.contains(symbol) || allow_unknown ? to.index(symbol) : -1);
  }
  return ids;
}

DatasetView::DatasetView(std::vector<DatasetPart> parts) : parts_(std::move(parts)) {
  for (std::uint32_t part = 0; part < parts_.size(); ++part) {
    const compat::IndexedDataset& dataset = *parts_[part].dataset;
    for (std::int64_t i = 0; i < dataset.size(); ++i) places_.push_back({part, i});
    sizes_.insert(sizes_.end(), dataset.sizes().begin(), dataset.sizes().end());
    total_tokens_ += dataset.total_tokens();
  }
}

DatasetView::DatasetView(const DatasetView& all, std::vector<std::int64_t> order)
    : parts_(all.parts_) {
  for (const std::int64_t i : order) {
    places_.push_back(all.places_[static_cast<std::size_t>(i)]);
    sizes_.push_back(all.sizes_[static_cast<std::size_t>(i)]);
    total_tokens_ += sizes_.back();
  }
}

void DatasetView::read(std::int64_t i, std::int64_t from, std::span<std::int64_t> out) const {
  const Place& place = places_[static_cast<std::size_t>(i)];
  const DatasetPart& part = parts_[place.part];
  part.dataset->read(place.sequence, from, out);
  if (part.dictionary != nullptr) translate(part, place.sequence, out);
}

void DatasetView::translate(const DatasetPart& part, std::int64_t sequence,
                            std::span<std::int64_t> ids) const {
  const std::int64_t size = part.dictionary->size();
  for (std::int64_t& id : ids) {
    if (id < 0 || id >= size)
      throw compat::FormatError(
          {part.dataset->path(), compat::concat("sequence ", sequence), {}},
          compat::concat("holds the token id ", id, ", the dictionary has ", size, " symbols"));
    if (part.new_ids.empty()) continue;
    const std::int64_t new_id = part.new_ids[static_cast<std::size_t>(id)];
    if (new_id < 0)
      throw compat::FormatError(
          {part.dataset->path(), compat::concat("sequence ", sequence), {}},
          "the symbol '" + compat::printable(part.dictionary->symbol(id)) +
              "' is not in the new dictionary (--allow-unknown makes it <unk>)");
    id = new_id;
  }
}

std::vector<std::int64_t> parse_ranges(std::string_view text, std::int64_t count) {
  std::vector<std::int64_t> order;
  const auto number = [&](std::string_view digits, std::optional<std::int64_t> fallback) {
    const auto value = digits.empty() ? fallback : compat::number_of<std::int64_t>(digits);
    if (!value || *value < 0)
      throw compat::UsageError("'" + compat::printable(text) +
                               "', expected ranges such as 0:100,500:");
    return std::min(*value, count);
  };
  for (std::size_t at = 0; at <= text.size();) {
    const std::string_view range = text.substr(at, std::min(text.find(',', at), text.size()) - at);
    at += range.size() + 1;
    const std::size_t colon = range.find(':');
    if (colon == std::string_view::npos)
      throw compat::UsageError("'" + compat::printable(text) +
                               "', expected ranges such as 0:100,500:");
    const std::int64_t to = number(range.substr(colon + 1), count);
    for (std::int64_t i = number(range.substr(0, colon), 0); i < to; ++i) order.push_back(i);
  }
  return order;
}

std::vector<std::int64_t> shuffled(std::vector<std::int64_t> order, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (std::size_t left = order.size(); left > 1; --left) {
    // Numbers from the last multiple of `left` on are drawn again. std::uniform_int_distribution is
    // not used because it differs between libraries.
    const std::uint64_t limit = UINT64_MAX - UINT64_MAX % left;
    std::uint64_t drawn = random();
    while (drawn >= limit) drawn = random();
    std::swap(order[left - 1], order[drawn % left]);
  }
  return order;
}

}  // namespace converters
