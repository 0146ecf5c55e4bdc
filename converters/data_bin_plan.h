// What btm-convert data-bin reads and writes: the splits of its inputs, joined, chosen from and
// shared out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "compat/fairseq/dictionary.h"
#include "converters/dataset_view.h"

namespace converters {

struct DataBinSelection {
  std::string sequences;      ///< Ranges as parse_ranges takes them; empty: all.
  std::int64_t shuffle = -1;  ///< A seed; -1: file order.
  std::int64_t shards = 1;
};

/// One data set to be written. `dictionary` may be null (none was found beside the inputs).
struct DataBinJob {
  std::filesystem::path
      target;  ///< Prefix, relative to the output folder; of a single data set its name.
  std::shared_ptr<const compat::IndexedDataset> dataset;
  std::shared_ptr<const compat::Dictionary> dictionary;
};

struct DataBinPlan {
  bool is_folder = false;
  std::vector<DataBinJob> jobs;
  /// dict.txt files to be copied: from where, and to where relative to the output folder.
  std::vector<std::pair<std::filesystem::path, std::filesystem::path>> dictionaries;
};

/// Plans the conversion of `inputs` (all folders or all data sets; those of equal name are joined).
/// Ids are mapped to `new_dictionary` (a dict.txt; empty: they stay). UsageError for inputs that do
/// not go together.
DataBinPlan plan_data_bin(const std::vector<std::string>& inputs,
                          const std::filesystem::path& new_dictionary, bool allow_unknown,
                          const std::string& output_name, const DataBinSelection& selection);

}  // namespace converters
