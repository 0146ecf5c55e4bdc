// Finds and opens data sets of every form: fairseq's and this project's.
#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset.h"

namespace converters {

/// The PREFIX of a data set, given as PREFIX or as one of its files. Empty when `path` is no data
/// set. A folder is never a data set, even with files of its name beside it: those must be named in
/// full (law.jsonl beside law/).
std::filesystem::path data_set_prefix(const std::filesystem::path& path);

/// Opens PREFIX in the form that exists: a data-bin, raw text, .npy or .jsonl. Errors as
/// IndexedDataset::open.
std::unique_ptr<compat::IndexedDataset> open_data_set(const std::filesystem::path& prefix,
                                                      const compat::Dictionary* dictionary);

/// The prefixes of the data sets in a folder, sorted.
std::set<std::filesystem::path> splits_in(const std::filesystem::path& folder);

/// The file name of a data set's dictionary: dict.txt, or dict.de.txt for train.en-de.de in a
/// translation data-bin.
std::string dictionary_name(const std::filesystem::path& prefix);
/// The dict.LANGUAGE.txt files of a folder, sorted.
std::set<std::filesystem::path> language_dictionaries_in(const std::filesystem::path& folder);
/// The dictionary in a data set's folder or in the folder above, which BTM's domains share. Null
/// when there is none.
std::shared_ptr<const compat::Dictionary> dictionary_beside(const std::filesystem::path& prefix);
/// The path of that dictionary. Empty when there is none.
std::filesystem::path dictionary_path_beside(const std::filesystem::path& prefix);

}  // namespace converters
