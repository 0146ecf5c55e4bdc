// Data sets of several domains, as BTM's multidomain_language_modeling task builds them for
// evaluation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "btm/data/lm_dataset.h"
#include "compat/fairseq/dictionary.h"
#include "compat/fairseq/indexed_dataset.h"

namespace btm {

/// Opens FOLDER/SPLIT. `impl` is fairseq's --dataset-impl; "" takes the form that is there
/// ('cached' and 'lazy' are one layout). IoError where SPLIT is missing, listing the splits that
/// exist. FormatError for an id outside the dictionary.
std::shared_ptr<const compat::IndexedDataset> open_split(const std::filesystem::path& folder,
                                                         const std::string& split,
                                                         const compat::Dictionary& dictionary,
                                                         std::string_view impl);

/// FormatError when `folder` (a domain of a data-bin) has a dict.txt with other words than
/// `dictionary_file`, that of the whole data-bin, so that the same ids mean other words.
void check_domain_dictionary(const std::filesystem::path& folder,
                             const std::filesystem::path& dictionary_file);

/// Sub-folders of `data` named in `domains` (comma separated; "" is all), sorted by name as the
/// task has them. UsageError naming `flag` for a domain that is not there.
std::vector<std::string> select_domains(const std::filesystem::path& data, std::string_view domains,
                                        std::string_view flag);
inline std::vector<std::string> eval_domains(const std::filesystem::path& data,
                                             std::string_view domains) {
  return select_domains(data, domains, "--eval-domains");
}

/// SPLIT_DOMAIN where the folder DATA/DOMAIN has it, else SPLIT.
std::string domain_split(const std::filesystem::path& data, const std::string& split,
                         const std::string& domain);

/// The splits of a data-bin folder, joined for a message; empty when there is none.
std::string splits_text(const std::filesystem::path& folder);

/// IoError: none of `domains` (folders in `data`) has the `split` that `flag` named. The message
/// lists the splits that they have.
[[noreturn]] void refuse_split(const std::filesystem::path& data,
                               const std::vector<std::string>& domains, const std::string& split,
                               std::string_view flag);

/// Data sets one after another.
class ConcatDataset final : public LmDataset {
 public:
  explicit ConcatDataset(std::vector<std::unique_ptr<LmDataset>> parts);
  std::int64_t size() const noexcept override { return ends_.empty() ? 0 : ends_.back(); }
  std::int64_t num_tokens(std::int64_t i) const noexcept override;
  void read(std::int64_t i, LmSample& sample) const override;

 private:
  std::pair<const LmDataset*, std::int64_t> locate(std::int64_t i) const noexcept;
  std::vector<std::unique_ptr<LmDataset>> parts_;
  std::vector<std::int64_t> ends_;
};

/// As many samples as `inner` has, drawn with replacement by numpy's RandomState([42, seed,
/// epoch]): fairseq's ResamplingDataset, in which the release wraps every evaluation set.
class ResamplingDataset final : public LmDataset {
 public:
  ResamplingDataset(std::unique_ptr<LmDataset> inner, std::int64_t seed, std::int64_t epoch);
  std::int64_t size() const noexcept override { return inner_->size(); }
  std::int64_t num_tokens(std::int64_t i) const noexcept override {
    return inner_->num_tokens(indices_[static_cast<std::size_t>(i)]);
  }
  void read(std::int64_t i, LmSample& sample) const override {
    inner_->read(indices_[static_cast<std::size_t>(i)], sample);
  }

 private:
  std::unique_ptr<LmDataset> inner_;
  std::vector<std::int64_t> indices_;
};

}  // namespace btm
