#include "btm/evaluator/load_scorer.h"

#include <ATen/Context.h>

#include "compat/error.h"

namespace btm {

Precision precision_for(const EvalLmOptions& options) {
  if (options.fp16 && options.bf16) throw compat::UsageError("--fp16 and --bf16 exclude each other");
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

LoadedModel load_scorer(const compat::Checkpoint& checkpoint, const EvalLmOptions& options, const EvalData& data) {
  const Precision precision = precision_for(options);
  auto model = load_model(checkpoint, data.dictionary(), data.dictionary_file(), precision);
  LoadedModel loaded;
  loaded.max_positions = model->config().max_target_positions;
  loaded.num_parameters = model->num_parameters();
  loaded.scorer = std::make_unique<ModelScorer>(std::move(model), precision.device, options.softmax_batch);
  return loaded;
}

}  // namespace btm
