#include "compat/checkpoint/stored_ema.h"

#include "compat/base/error.h"

namespace compat {
namespace {

constexpr std::string_view kVersion = "decoder.version";

/// An entry of `extra_state`, or of `extra_state.btm`; null when it is absent or None.
const PickleNode* find_extra(const Checkpoint& checkpoint, const char* key,
                             const char* inner = nullptr) {
  const PickleNode* node = checkpoint.find_entry("extra_state");
  for (const char* const name : {key, inner}) {
    if (name == nullptr || node == nullptr) continue;
    node = node->find(name);
    if (node != nullptr && node->is_none()) node = nullptr;
  }
  return node;
}

}  // namespace

bool is_final_norm(std::string_view name) noexcept {
  return name == "decoder.layer_norm.weight" || name == "decoder.layer_norm.bias";
}

bool has_stored_ema(const Checkpoint& checkpoint) {
  return find_extra(checkpoint, "ema") != nullptr;
}

NamedTensors stored_ema(const Checkpoint& checkpoint) {
  const PickleNode* const ema = find_extra(checkpoint, "ema");
  if (ema == nullptr)
    throw FormatError({checkpoint.path(), "extra_state.ema", {}},
                      "is missing, expected the averaged weights that --store-ema saves");
  NamedTensors tensors = named_tensors(*ema, checkpoint.path(), "extra_state.ema");
  const PickleNode* const norm = find_extra(checkpoint, "btm", kEmaFinalNorm);
  const TensorView* const version = checkpoint.find(kVersion);
  if (norm == nullptr || version == nullptr) return tensors;
  for (auto& [name, view] : tensors)
    if (name == kVersion) view = *version;
  for (auto& tensor : named_tensors(*norm, checkpoint.path(), "extra_state.btm.ema_final_norm"))
    if (is_final_norm(tensor.first)) tensors.push_back(std::move(tensor));
  return tensors;
}

NamedTensors stored_ema_masters(const Checkpoint& checkpoint) {
  const PickleNode* const masters = find_extra(checkpoint, "ema_fp32_params");
  if (masters == nullptr) return {};
  return named_tensors(*masters, checkpoint.path(), "extra_state.ema_fp32_params");
}

}  // namespace compat
