// Token ids as numpy arrays, and other ids in memory seen as a data set.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "compat/fairseq/indexed_dataset.h"

namespace converters {

/// Opens PREFIX.npy: a one-dimensional array of ids cut by PREFIX.sizes.npy (without that file: one
/// sequence), or a two-dimensional one whose rows are sequences. FormatError for other arrays and
/// sizes that do not sum up to the ids.
std::unique_ptr<compat::IndexedDataset> open_npy_dataset(const std::filesystem::path& prefix);

/// Writes PREFIX.npy with all ids as `dtype` (torch's name) and PREFIX.sizes.npy (int32).
void write_npy_dataset(const std::filesystem::path& prefix, const compat::IndexedDataset& dataset,
                       std::string_view dtype);

/// Ids of type `dtype` in memory, kept alive by `owner`, as a data set called `name`.
std::unique_ptr<compat::IndexedDataset> dataset_of_memory(const std::string& name,
                                                          std::span<const std::byte> ids,
                                                          std::string_view dtype,
                                                          std::span<const std::int32_t> sizes,
                                                          std::shared_ptr<const void> owner);

}  // namespace converters
