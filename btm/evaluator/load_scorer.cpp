#include "btm/evaluator/load_scorer.h"

#include <ATen/Context.h>

#include <algorithm>
#include <limits>

#include "compat/base/error.h"

namespace btm {

Precision precision_for(const EvalLmOptions& options) {
  if (options.fp16 && options.bf16)
    throw compat::UsageError("--fp16 and --bf16 exclude each other");
  const at::ScalarType half = options.fp16 ? at::kHalf : options.bf16 ? at::kBFloat16 : at::kFloat;
  Precision precision;
  precision.rounding = half;
  precision.as_stored = true;
  if (!options.cpu && at::hasCUDA()) {
    precision.device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(options.device_id));
    precision.compute = half;
  }
  return precision;
}

compat::Checkpoint open_model(const std::string& path, const EvalLmOptions& options) {
  compat::Checkpoint checkpoint = compat::Checkpoint::open(path);
  checkpoint.override_config(compat::parse_python_literal(options.model_overrides));
  return checkpoint;
}

std::int64_t positions_of(std::span<const std::string> paths, const EvalLmOptions& options) {
  std::int64_t positions = std::numeric_limits<std::int64_t>::max();
  for (const std::string& path : paths)
    positions =
        std::min(positions,
                 TransformerConfig::from(open_model(path, options).config()).max_target_positions);
  return positions;
}

EvalLmOptions with_sample_length(EvalLmOptions options, std::span<const std::string> paths) {
  constexpr std::int64_t kFairseqs = 1024;
  if (options.tokens_per_sample == 0)
    options.tokens_per_sample =
        std::min(kFairseqs, positions_of(paths, options) - (options.add_bos_token ? 1 : 0));
  return options;
}

LoadedModel load_scorer(const compat::Checkpoint& checkpoint, const EvalLmOptions& options,
                        const EvalData& data) {
  const Precision precision = precision_for(options);
  auto model = load_model(checkpoint, data.dictionary(), data.dictionary_file(), precision);
  LoadedModel loaded;
  loaded.max_positions = model->config().max_target_positions;
  loaded.num_parameters = model->num_parameters();
  loaded.scorer = std::make_unique<ModelScorer>(checkpoint.path(), std::move(model),
                                                precision.device, options.softmax_batch);
  return loaded;
}

}  // namespace btm
