// The data sets that fairseq's language-modelling tasks make of a data-bin or of its domains, each
// with the order in which batches are cut from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "btm/data/domain_tokens.h"
#include "btm/data/lm_dataset.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

/// How a task makes samples of token sequences.
struct SampleForm {
  std::string dataset_impl, break_mode;  ///< --dataset-impl, --sample-break-mode.
  std::int64_t block_size = 0;           ///< Tokens in a sample.
  bool add_bos_token = false;
  std::optional<std::int64_t> resample_seed;  ///< Samples are drawn with replacement.
  /// A domain token is one of the `block_size` tokens of a sample, unlike <s>.
  DomainTokenOptions domain_token = {};
};

/// A data set, and all its samples in the order in which batch_by_size() takes them.
struct OrderedData {
  std::unique_ptr<LmDataset> dataset;
  std::vector<std::int64_t> order;
};

/// The data sets of one data-bin. Refers to `dictionary`, which was read from `dictionary_file` and
/// has the domain tokens.
class TaskData {
 public:
  TaskData(const compat::Dictionary& dictionary, std::filesystem::path dictionary_file,
           SampleForm form);

  /// The samples of FOLDER/SPLIT. Errors of open_split(), check_domain_dictionary() and
  /// domain_token_id().
  std::unique_ptr<LmDataset> open(const std::filesystem::path& folder,
                                  const std::string& split) const;

  /// language_modeling: by size, samples of one size shuffled by `seed`.
  OrderedData one_set(const std::filesystem::path& folder, const std::string& split,
                      std::int64_t seed) const;

  /// multidomain_language_modeling: SPLIT of `domains` (folders in `data`), one after another. A
  /// ConcatDataset of fairseq is sorted by size alone, and not stably.
  OrderedData joined_sets(const std::filesystem::path& data,
                          const std::vector<std::string>& domains, const std::string& split) const;

 private:
  /// What samples of the domain in `folder` begin with.
  std::optional<std::int64_t> first_token(const std::filesystem::path& folder) const;

  const compat::Dictionary& dictionary_;
  std::filesystem::path dictionary_file_;
  SampleForm form_;
};

/// Those of `domains` (folders in `data`) that have `split`. The release passes over the others;
/// `passed_over`, where given, gets those of them that have other splits.
std::vector<std::string> domains_with_split(const std::filesystem::path& data,
                                            const std::vector<std::string>& domains,
                                            const std::string& split,
                                            std::vector<std::string>* passed_over = nullptr);

}  // namespace btm
