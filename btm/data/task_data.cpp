#include "btm/data/task_data.h"

#include "btm/data/batches.h"
#include "btm/data/multidomain.h"
#include "btm/data/numpy_sort.h"
#include "btm/data/token_blocks.h"
#include "compat/base/error.h"

namespace btm {

namespace fs = std::filesystem;

TaskData::TaskData(const compat::Dictionary& dictionary, fs::path dictionary_file, SampleForm form)
    : dictionary_(dictionary),
      dictionary_file_(std::move(dictionary_file)),
      form_(std::move(form)) {
  if (!form_.domain_token.add) return;
  if (form_.add_bos_token)
    throw compat::UsageError("--add-bos-token and --add-domain-token exclude each other");
  if (form_.block_size == 1)
    throw compat::UsageError("--tokens-per-sample 1 leaves nothing beside --add-domain-token");
  --form_.block_size;
}

std::optional<std::int64_t> TaskData::first_token(const fs::path& folder) const {
  if (form_.domain_token.add)
    return domain_token_id(dictionary_, form_.domain_token, folder.filename().string());
  return form_.add_bos_token ? std::optional(dictionary_.bos()) : std::nullopt;
}

std::unique_ptr<LmDataset> TaskData::open(const fs::path& folder, const std::string& split) const {
  check_domain_dictionary(folder, dictionary_file_);
  std::unique_ptr<LmDataset> blocks = std::make_unique<TokenBlockDataset>(
      open_split(folder, split, dictionary_, form_.dataset_impl),
      parse_sample_break_mode(form_.break_mode), form_.block_size, dictionary_.eos(),
      first_token(folder));
  if (!form_.resample_seed) return blocks;
  return std::make_unique<ResamplingDataset>(std::move(blocks), *form_.resample_seed, /*epoch=*/1);
}

OrderedData TaskData::one_set(const fs::path& folder, const std::string& split,
                              std::int64_t seed) const {
  OrderedData data{open(folder, split), {}};
  data.order = ordered_by_size(*data.dataset, seed);
  return data;
}

OrderedData TaskData::joined_sets(const fs::path& data, const std::vector<std::string>& domains,
                                  const std::string& split) const {
  std::vector<std::unique_ptr<LmDataset>> parts;
  for (const std::string& domain : domains) parts.push_back(open(data / domain, split));
  OrderedData joined{std::make_unique<ConcatDataset>(std::move(parts)), {}};
  std::vector<std::int64_t> sizes;
  for (std::int64_t i = 0; i < joined.dataset->size(); ++i)
    sizes.push_back(joined.dataset->num_tokens(i));
  joined.order = numpy_argsort(sizes);
  return joined;
}

std::vector<std::string> domains_with_split(const fs::path& data,
                                            const std::vector<std::string>& domains,
                                            const std::string& split,
                                            std::vector<std::string>* passed_over) {
  std::vector<std::string> found;
  for (const std::string& domain : domains)
    if (compat::IndexedDataset::exists(data / domain / split))
      found.push_back(domain);
    else if (passed_over != nullptr && !splits_text(data / domain).empty())
      passed_over->push_back(domain);
  return found;
}

}  // namespace btm
