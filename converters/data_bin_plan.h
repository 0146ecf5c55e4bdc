// Plans the work of btm-convert data-bin: which splits are joined, which sequences are selected,
// which shards are written.
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
  std::string sequences;      ///< Ranges for parse_ranges(). Empty for all.
  std::int64_t shuffle = -1;  ///< A seed, or -1 for file order.
  std::int64_t shards = 1;
};

/// A data set to write. `dictionary` is null when none was found beside the inputs.
struct DataBinJob {
  std::filesystem::path
      target;  ///< Prefix relative to the output folder. The name, for a single data set.
  std::shared_ptr<const compat::IndexedDataset> dataset;
  std::shared_ptr<const compat::Dictionary> dictionary;
};

struct DataBinPlan {
  bool is_folder = false;
  std::vector<DataBinJob> jobs;
  /// The dict.txt files to copy: source, and target relative to the output folder.
  std::vector<std::pair<std::filesystem::path, std::filesystem::path>> dictionaries;
};

/// Plans the conversion of `inputs`, which are all folders or all data sets. Those with equal names
/// are joined. Ids are mapped to `new_dictionary` (a dict.txt), or kept when it is empty.
/// UsageError for inputs that cannot be joined.
DataBinPlan plan_data_bin(const std::vector<std::string>& inputs,
                          const std::filesystem::path& new_dictionary, bool allow_unknown,
                          const std::string& output_name, const DataBinSelection& selection);

}  // namespace converters
