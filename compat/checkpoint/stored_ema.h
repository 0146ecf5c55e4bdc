// The exponential moving average of the weights that fairseq-train and btm train --store-ema save.
#pragma once

#include "compat/checkpoint/checkpoint.h"

namespace compat {

/// In `extra_state.btm`: the averaged final layer norm, which fairseq 0.12.2 leaves out.
inline constexpr const char* kEmaFinalNorm = "ema_final_norm";

/// Whether `name` is a tensor of the layer norm after the last layer.
bool is_final_norm(std::string_view name) noexcept;

/// Whether the checkpoint has `extra_state.ema`.
bool has_stored_ema(const Checkpoint& checkpoint);

/// The averaged model: the tensors of `extra_state.ema`. With btm's averaged final norm where there
/// is one, and then with the model's own decoder.version; without it, readers drop the norm.
/// FormatError when there is no average.
NamedTensors stored_ema(const Checkpoint& checkpoint);

/// `extra_state.ema_fp32_params`: the averages in fp32 of a run in half precision, by name. Empty
/// when there are none.
NamedTensors stored_ema_masters(const Checkpoint& checkpoint);

}  // namespace compat
