#include "btm/trainer/train_start.h"

#include "btm/model/transformer_lm.h"
#include "btm/model/weights.h"
#include "btm/trainer/fairseq_config.h"
#include "btm/trainer/train_data.h"
#include "btm/trainer/trainer.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/checkpoint/named_models.h"
#include "compat/fairseq/network_settings.h"
#include "compat/io/crc32.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

bool holds_weights_alone(const compat::TorchFile& file) {
  return file.tree.root->find("cfg") == nullptr && file.tree.root->find("args") == nullptr;
}

/// A torch file that holds weights without a configuration; nothing for a whole model.
std::optional<compat::TorchFile> weights_alone(const fs::path& path) {
  const compat::ModelKind kind = compat::resolve_model(path).kind;
  if (kind == compat::ModelKind::kSafetensors || kind == compat::ModelKind::kHuggingFace ||
      kind == compat::ModelKind::kMetaseq)
    return std::nullopt;
  compat::TorchFile file = compat::load_torch_file(path);
  return holds_weights_alone(file) ? std::optional(std::move(file)) : std::nullopt;
}

/// FormatError when the experts in `checkpoint` are not those that the flags ask for.
void check_mixture(const TransformerConfig& expected, const compat::Checkpoint& checkpoint) {
  const TransformerConfig found = TransformerConfig::from(checkpoint.config());
  if (found.moe_freq == expected.moe_freq && found.moe_expert_count == expected.moe_expert_count)
    return;
  throw compat::FormatError(
      {checkpoint.path(), "model", {}},
      found.moe_freq == 0
          ? "has no experts, the flags ask for a mixture (btm mix makes one)"
          : compat::concat("is a mixture of ", found.moe_expert_count,
                           " experts, expected --moe-freq ", found.moe_freq, " --moe-expert-count ",
                           found.moe_expert_count, " --moe-router ", routing_name(found.routing)));
}

}  // namespace

compat::Dictionary load_data_dictionary(const TrainOptions& options) {
  const fs::path folder = data_folders(options.task.data).front();
  if (!fs::is_directory(folder))
    throw compat::IoError(folder.string(), "is not a folder, expected a data-bin");
  compat::Dictionary dictionary = compat::Dictionary::load(folder / "dict.txt");
  add_domain_tokens(dictionary, token_domains(options));
  return dictionary;
}

std::optional<compat::Checkpoint> open_start(const fs::path& path, TransformerLM& model,
                                             const compat::KnownDictionary& dictionary) {
  if (const auto file = weights_alone(path)) {
    compat::check_same_dictionary(
        dictionary, {file->path, compat::kept_dictionary(*file->tree.root, file->path), {}});
    load_weights(model, compat::model_tensors(*file->tree.root, file->path), file->path,
                 Precision{});
    return std::nullopt;
  }
  compat::Checkpoint checkpoint = compat::Checkpoint::open(path);
  compat::check_same_dictionary(dictionary, checkpoint.dictionary());
  check_mixture(model.config(), checkpoint);
  load_weights(model, checkpoint.model(), checkpoint.path(), Precision{});
  if (model.config().moe_freq > 0)
    model.set_expert_names(TransformerConfig::from(checkpoint.config()).moe_experts);
  model.set_layer_norm_epsilon(compat::layer_norm_epsilon(checkpoint.config()));
  return checkpoint;
}

void check_start(const TrainOptions& options, const fs::path& checkpoint) {
  const fs::path folder = data_folders(options.task.data).front();
  const compat::Dictionary dictionary = load_data_dictionary(options);
  TransformerLM model(TransformerConfig::from(model_config(options)), dictionary.size());
  if (!fs::exists(checkpoint)) throw compat::IoError(checkpoint.string(), "does not exist");
  if (const auto file = weights_alone(checkpoint))
    return check_weights(model, compat::model_tensors(*file->tree.root, file->path), file->path);
  const compat::Checkpoint whole = compat::Checkpoint::open(checkpoint);
  compat::check_same_dictionary(
      compat::known_dictionary(dictionary, (folder / "dict.txt").string()), whole.dictionary());
  check_mixture(model.config(), whole);
  check_weights(model, whole.model(), checkpoint.string());
}

std::uint32_t shared_weights_crc(Trainer& trainer) {
  std::uint32_t crc = 0;
  const FlatParameters& flat = trainer.flat();
  for (std::size_t i = 0; i < flat.slots().size(); ++i) {
    if (trainer.experts() != nullptr && trainer.experts()->is_expert(flat.slots()[i].name))
      continue;
    const at::Tensor values = flat.view(flat.values(), i).cpu().contiguous();
    crc = compat::crc32({static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()},
                        crc);
  }
  return crc;
}

}  // namespace btm
