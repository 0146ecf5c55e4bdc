// Token ids in numpy arrays, and ids in memory as a data set.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "compat/fairseq/indexed_dataset.h"

namespace converters {

/// Opens PREFIX.npy. It is either a one-dimensional array of ids that PREFIX.sizes.npy divides into
/// sequences (without that file: one sequence), or a two-dimensional array whose rows are
/// sequences. FormatError for other arrays, and when the sizes do not sum to the number of ids.
std::unique_ptr<compat::IndexedDataset> open_npy_dataset(const std::filesystem::path& prefix);

/// Writes PREFIX.npy with all ids as `dtype` (torch's name), and PREFIX.sizes.npy (int32).
void write_npy_dataset(const std::filesystem::path& prefix, const compat::IndexedDataset& dataset,
                       std::string_view dtype);

/// A data set called `name` over ids of type `dtype` in memory. `owner` keeps them alive.
std::unique_ptr<compat::IndexedDataset> dataset_of_memory(const std::string& name,
                                                          std::span<const std::byte> ids,
                                                          std::string_view dtype,
                                                          std::span<const std::int32_t> sizes,
                                                          std::shared_ptr<const void> owner);

}  // namespace converters
