#include "btm/evaluator/load_scorer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <limits>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/checkpoint/stored_ema.h"

namespace btm {

Precision precision_for(const MachineOptions& machine) {
  if (machine.fp16 && machine.bf16)
    throw compat::UsageError("--fp16 and --bf16 exclude each other");
  const bool split = machine.fp32_matmul == "bf16x3";
  if (split && (machine.fp16 || machine.bf16))
    throw compat::UsageError("--fp32-matmul bf16x3 is for fp32, it excludes --fp16 and --bf16");
  const at::ScalarType half = machine.fp16 ? at::kHalf : machine.bf16 ? at::kBFloat16 : at::kFloat;
  Precision precision;
  precision.rounding = half;
  precision.as_stored = true;
  if (!machine.cpu && at::hasCUDA()) {
    precision.device = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(machine.device_id));
    precision.compute = half;
    if (split) throw compat::UsageError("--fp32-matmul bf16x3 needs --cpu where there is a GPU");
  } else if (machine.bf16 || split) {
    precision.rounding = at::kFloat;  // packing rounds
    precision.products = split ? Products::kBf16x3 : Products::kBf16;
  }
  return precision;
}

std::string precision_name(const MachineOptions& machine) {
  const Precision precision = precision_for(machine);
  std::string name = machine.fp16 ? "fp16" : machine.bf16 ? "bf16" : "fp32";
  if (precision.products == Products::kBf16x3) name += " with products in bf16x3";
  return precision.device.is_cpu() ? name : name + " on a GPU";
}

std::string products_note(const MachineOptions& machine) {
  const Precision precision = precision_for(machine);
  if (!precision.device.is_cpu())
    return compat::concat("products: ", precision_name(machine), ", number ", machine.device_id);
  const std::int64_t threads =
      machine.num_threads > 0 ? machine.num_threads : at::get_num_threads();
  return compat::concat("products: ", products_name(precision.products),
                        machine.fp16 ? ", weights rounded to fp16; " : "; ", threads,
                        threads == 1 ? " thread" : " threads");
}

void use_threads(const MachineOptions& machine) {
  if (machine.num_threads > 0) at::set_num_threads(static_cast<int>(machine.num_threads));
}

compat::Checkpoint open_model(const std::string& path, const std::string& overrides) {
  compat::Checkpoint checkpoint = compat::Checkpoint::open(path);
  checkpoint.override_config(compat::parse_python_literal(overrides));
  return checkpoint;
}

std::int64_t positions_of(const compat::Checkpoint& checkpoint) {
  return TransformerConfig::from(checkpoint.config()).max_target_positions;
}

std::int64_t positions_of(std::span<const std::string> paths, const std::string& overrides) {
  std::int64_t positions = std::numeric_limits<std::int64_t>::max();
  for (const std::string& path : paths)
    positions = std::min(positions, positions_of(open_model(path, overrides)));
  return positions;
}

namespace {

/// The domains whose tokens a model was trained with, joined by ','; "" where the configuration
/// does not name them.
std::string trained_token_domains(const compat::Config& config) {
  const auto listed = [&](const char* key) {
    return compat::split_at(config.get_string("task", key, ""), ',');
  };
  DomainTokenOptions tokens;
  tokens.add = config.get_bool("task", "add_domain_token", false);
  tokens.original_domains = config.get_string("task", "original_domains", "");
  std::vector<std::string> train = listed("train_domains"), eval = listed("eval_domains");
  std::ranges::sort(train);  // the task lists folders
  std::ranges::sort(eval);
  return compat::join(token_domains(tokens, train, eval), ",");
}

}  // namespace

BatchingOptions with_model_defaults(BatchingOptions batching, std::span<const std::string> paths,
                                    const std::string& overrides) {
  constexpr std::int64_t kFairseqs = 1024;
  if (batching.tokens_per_sample == 0)
    batching.tokens_per_sample =
        std::min(kFairseqs, positions_of(paths, overrides) - (batching.add_bos_token ? 1 : 0));
  DomainTokenOptions& tokens = batching.domain_token;
  if (tokens.add && tokens.original_domains.empty())
    tokens.original_domains = trained_token_domains(open_model(paths.front(), overrides).config());
  return batching;
}

namespace {

LoadedModel scorer_of(std::unique_ptr<TransformerLM> model, const compat::Checkpoint& checkpoint,
                      const Precision& precision, const MachineOptions& machine) {
  LoadedModel loaded;
  loaded.max_positions = model->config().max_target_positions;
  loaded.num_parameters = model->num_parameters();
  loaded.scorer = std::make_unique<ModelScorer>(checkpoint.path(), std::move(model),
                                                precision.device, machine.softmax_batch);
  return loaded;
}

}  // namespace

LoadedModel load_scorer(const compat::Checkpoint& checkpoint, const MachineOptions& machine,
                        const EvalData& data) {
  const Precision precision = precision_for(machine);
  return scorer_of(load_model(checkpoint, data.dictionary(), data.dictionary_file(), precision),
                   checkpoint, precision, machine);
}

LoadedModel load_ema_scorer(const compat::Checkpoint& checkpoint, const MachineOptions& machine,
                            const EvalData& data) {
  const Precision precision = precision_for(machine);
  auto model = outline_model(checkpoint, data.dictionary(), data.dictionary_file());
  load_weights(*model, compat::stored_ema(checkpoint), checkpoint.path(), precision);
  if (precision.products != Products::kFp32) model->pack(precision.products);
  return scorer_of(std::move(model), checkpoint, precision, machine);
}

}  // namespace btm
