#include "btm/trainer/ema.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <map>

#include "btm/model/tensor_bridge.h"
#include "btm/trainer/state_dict.h"
#include "compat/base/error.h"
#include "compat/checkpoint/stored_ema.h"

namespace btm {
namespace {

constexpr const char* kSinceStep = "ema_updates_since_step";

/// Copies each average to the part of a flat buffer that belongs to its parameter.
class Averages {
 public:
  /// `tensors` come from `section` of `checkpoint`.
  Averages(const compat::Checkpoint& checkpoint, std::string section, compat::NamedTensors tensors)
      : file_(checkpoint.path()), section_(std::move(section)) {
    for (auto& [name, view] : tensors) tensors_.emplace(name, std::move(view));
  }

  /// False when there is no average of `slot`.
  bool copy(const FlatParameters::Slot& slot, const at::Tensor& to) const {
    const auto found = tensors_.find(slot.name);
    if (found == tensors_.end()) return false;
    const compat::TensorView& view = found->second;
    if (view.shape != slot.shape)
      fail(slot.name, "has shape " + compat::shape_text(view.shape) + ", expected " +
                          compat::shape_text(slot.shape));
    if (!at::isFloatingType(scalar_type(view.dtype())))
      fail(slot.name,
           "holds " + std::string(compat::dtype_name(view.dtype())) + ", expected floating point");
    const at::Tensor values = to_tensor(view, at::kFloat, to.device());
    if (!at::isfinite(values).all().item<bool>()) fail(slot.name, "holds NaN or infinity");
    to.copy_(values);
    return true;
  }
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const {
    throw compat::FormatError({file_, section_ + "." + name, {}}, problem);
  }

 private:
  const std::string& file_;
  std::string section_;
  std::map<std::string, compat::TensorView, std::less<>> tensors_;
};

}  // namespace

Ema::Ema(const FlatParameters& flat, const TransformerConfig& config,
         const TrainingPrecision& precision, const EmaOptions& options)
    : flat_(flat),
      config_(config),
      dtype_(precision.half),
      options_(options),
      has_masters_(options.fp32 && precision.is_half()),
      decay_(options.decay) {
  if (options_.seed_model.empty()) return;
  const compat::Checkpoint seed = compat::Checkpoint::open(options_.seed_model);
  start();
  load(seed);
}

void Ema::start() {
  const at::NoGradGuard no_grad;
  values_ = flat_.values().to(dtype_, /*non_blocking=*/false, /*copy=*/true);
  masters_ = has_masters_ ? values_.to(at::kFloat) : values_;
}

void Ema::mix(const at::Tensor& average, std::int64_t first, std::int64_t count) const {
  // A piece at a time, so that the weights' other precision takes little memory.
  constexpr std::int64_t kPiece = 1 << 18;
  for (std::int64_t end = first + count; first < end; first += kPiece) {
    const std::int64_t size = std::min(kPiece, end - first);
    average.narrow(0, first, size)
        .mul_(decay_)
        .add_(flat_.values().narrow(0, first, size).to(average.scalar_type()), 1 - decay_);
  }
}

void Ema::step(std::int64_t updates) {
  const at::NoGradGuard no_grad;
  if (!values_.defined()) start();
  decay_ = updates < options_.start_update ? 0 : options_.decay;
  if (++since_step_ < options_.update_freq) return;
  since_step_ = 0;
  for (const auto& [first, last] : flat_.trained()) mix(masters_, first, last - first);
  if (!has_masters_)
    for (const auto& [name, original] : tied_names(flat_, config_))
      for (std::size_t i = 0; i < flat_.slots().size(); ++i)
        if (const FlatParameters::Slot& slot = flat_.slots()[i];
            slot.name == original && flat_.is_trained(i))
          mix(masters_, slot.offset, slot.numel);
  if (has_masters_) values_.copy_(masters_);
}

void Ema::save(compat::PickleArena& arena, compat::PickleDict& extra,
               compat::PickleDict& ours) const {
  if (!values_.defined()) return;
  constexpr double kWithoutNorm = 1;
  compat::NamedTensors norm;
  compat::NamedTensors average = state_dict(flat_, values_, config_, kWithoutNorm);
  std::erase_if(average, [&](const auto& tensor) {
    const bool is_norm = compat::is_final_norm(tensor.first);
    if (is_norm) norm.push_back(tensor);
    return is_norm;
  });
  arena.put(extra, "ema", tensors_node(arena, average, /*ordered=*/true));
  if (options_.fp32)
    // In fp32 fairseq's copies are the averages themselves, and so is their version.
    arena.put(extra, "ema_fp32_params",
              tensors_node(arena,
                           state_dict(flat_, masters_, config_,
                                      has_masters_ ? kDecoderVersion : kWithoutNorm),
                           /*ordered=*/false));
  if (!norm.empty())
    arena.put(ours, compat::kEmaFinalNorm, tensors_node(arena, norm, /*ordered=*/false));
  arena.put(ours, kSinceStep, arena.integer(since_step_));
}

void Ema::load(const compat::Checkpoint& checkpoint) {
  const at::NoGradGuard no_grad;
  const Averages averages(checkpoint, "extra_state.ema", compat::stored_ema(checkpoint));
  const Averages masters(
      checkpoint, "extra_state.ema_fp32_params",
      options_.fp32 ? compat::stored_ema_masters(checkpoint) : compat::NamedTensors{});
  for (std::size_t i = 0; i < flat_.slots().size(); ++i) {
    const FlatParameters::Slot& slot = flat_.slots()[i];
    const at::Tensor master = flat_.view(masters_, i);
    const bool found = averages.copy(slot, master);
    // fairseq's averages have no final layer norm; the weights of the model stand in.
    if (!masters.copy(slot, master) && !found && !compat::is_final_norm(slot.name))
      averages.fail(slot.name, "is missing");
  }
  if (has_masters_) values_.copy_(masters_);
}

void Ema::restore(const compat::Checkpoint& checkpoint) {
  if (!compat::has_stored_ema(checkpoint)) {
    if (!values_.defined()) start();
    return;
  }
  start();
  load(checkpoint);
  since_step_ = 0;
  const compat::PickleNode* const ours = checkpoint.find_entry("extra_state")->find("btm");
  const compat::PickleNode* const since = ours != nullptr ? ours->find(kSinceStep) : nullptr;
  if (const auto* count = since != nullptr ? since->get_if<std::int64_t>() : nullptr;
      count != nullptr && *count > 0)
    since_step_ = *count;
}

}  // namespace btm
