#include "btm/evaluator/eval_data.h"

#include <ATen/Context.h>

#include <algorithm>
#include <numeric>

#include "btm/data/batches.h"
#include "btm/data/multidomain.h"
#include "btm/data/numpy_sort.h"
#include "btm/data/token_blocks.h"
#include "compat/error.h"

namespace btm {
namespace {

std::unique_ptr<LmDataset> open_blocks(const EvalLmOptions& options, const std::filesystem::path& folder,
                                       const compat::Dictionary& dictionary, std::int64_t block_size) {
  return std::make_unique<TokenBlockDataset>(open_split(folder, options.gen_subset, dictionary, options.dataset_impl),
                                             parse_sample_break_mode(options.sample_break_mode), block_size, dictionary.bos(),
                                             dictionary.eos(), options.add_bos_token);
}

}  // namespace

std::vector<std::string> split_paths(const std::string& paths) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= paths.size();) {
    const std::size_t colon = std::min(paths.find(':', from), paths.size());
    if (colon > from) parts.push_back(paths.substr(from, colon - from));
    from = colon + 1;
  }
  return parts;
}

Precision precision_for(const EvalLmOptions& options) {
  const at::ScalarType half = options.fp16 ? at::kHalf : options.bf16 ? at::kBFloat16 : at::kFloat;
  Precision precision;
  precision.rounding = half;
  if (!options.cpu && at::hasCUDA()) {
    precision.device = at::kCUDA;
    precision.compute = half;
  }
  return precision;
}

LoadedModel load_scorer(const std::string& path, const EvalLmOptions& options, const compat::Dictionary& dictionary,
                        const std::string& dictionary_file) {
  const Precision precision = precision_for(options);
  compat::Checkpoint checkpoint = compat::Checkpoint::open(path);
  checkpoint.override_config(compat::parse_python_literal(options.model_overrides));
  auto model = load_model(checkpoint, dictionary, dictionary_file, precision);
  LoadedModel loaded;
  loaded.max_positions = model->config().max_target_positions;
  loaded.num_parameters = model->num_parameters();
  loaded.scorer = std::make_unique<ModelScorer>(std::move(model), precision.device, options.softmax_batch);
  return loaded;
}

EvalData open_eval_data(const EvalLmOptions& options, const std::filesystem::path& folder, const compat::Dictionary& dictionary) {
  const std::int64_t block_size = options.tokens_per_sample - options.context_window;
  EvalData data;
  if (options.task != kMultidomain) {
    data.dataset = open_blocks(options, folder, dictionary, block_size);
    data.order = ordered_by_size(*data.dataset, options.seed);
  } else {
    std::vector<std::unique_ptr<LmDataset>> parts;
    for (const std::string& domain : eval_domains(folder, options.eval_domains)) {
      // Without --eval-domains every folder is tried, and those without the split are passed over, as the release does.
      if (options.eval_domains.empty() && !compat::IndexedDataset::exists(folder / domain / options.gen_subset)) continue;
      auto part = open_blocks(options, folder / domain, dictionary, block_size);
      if (options.resample_eval) part = std::make_unique<ResamplingDataset>(std::move(part), options.seed, /*epoch=*/1);
      parts.push_back(std::move(part));
    }
    if (parts.empty())
      throw compat::IoError(folder.string(), "no domain has the split '" + compat::printable(options.gen_subset) + "'");
    data.dataset = std::make_unique<ConcatDataset>(std::move(parts));
    std::vector<std::int64_t> sizes;
    for (std::int64_t i = 0; i < data.dataset->size(); ++i) sizes.push_back(data.dataset->num_tokens(i));
    data.order = numpy_argsort(sizes);
  }
  if (options.context_window > 0) {  // each sample needs the one before it
    data.order.resize(static_cast<std::size_t>(data.dataset->size()));
    std::iota(data.order.begin(), data.order.end(), 0);
  }
  return data;
}

}  // namespace btm
