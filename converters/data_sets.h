// Finding and opening data sets of every form, fairseq's and ours.
#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset.h"

namespace converters {

/// PREFIX of a data set given as PREFIX or as one of its files; empty when `path` is no data set. A
/// folder is none, whatever data sets of its name lie beside it: those are named by their files
/// (law.jsonl beside law/).
std::filesystem::path data_set_prefix(const std::filesystem::path& path);

/// Opens PREFIX in whatever form is there: a data-bin, raw text, .npy or .jsonl. Errors as
/// IndexedDataset::open.
std::unique_ptr<compat::IndexedDataset> open_data_set(const std::filesystem::path& prefix,
                                                      const compat::Dictionary* dictionary);

/// Prefixes of the data sets in a folder, sorted.
std::set<std::filesystem::path> splits_in(const std::filesystem::path& folder);

/// Name of a data set's dictionary: dict.txt, or dict.de.txt of train.en-de.de in a translation
/// data-bin.
std::string dictionary_name(const std::filesystem::path& prefix);
/// The dict.LANGUAGE.txt of a folder, sorted.
std::set<std::filesystem::path> language_dictionaries_in(const std::filesystem::path& folder);
/// The dictionary in a data set's folder, or the one above it (BTM's folders of domains share one);
/// null without one.
std::shared_ptr<const compat::Dictionary> dictionary_beside(const std::filesystem::path& prefix);
/// Where that is; empty without one.
std::filesystem::path dictionary_path_beside(const std::filesystem::path& prefix);

}  // namespace converters
