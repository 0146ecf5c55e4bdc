// `last_optimizer_state` of a checkpoint, in the layouts of fairseq's optimizers.
#pragma once

#include <string>

#include "btm/trainer/parameter_optimizer.h"
#include "compat/fairseq/config.h"
#include "compat/torch/pickle_value.h"

namespace btm {

/// The optimizer's state as fairseq saves it in the run's precision: an entry per parameter,
/// numbered in their order, or for
/// --fp16 one entry of all of them end to end; `loss_scale` in fp16. Tensors are snapshots.
compat::PickleNode* optimizer_state(compat::PickleArena& arena, const ParameterOptimizer& optimizer,
                                    double lr);

/// Takes up such a state, in either layout whatever the run's. As in fairseq the betas, eps and
/// weight decay of the file replace those of the run, and `overrides` (--optimizer-overrides)
/// those. FormatError naming `file` and the entry where shapes do not fit the model.
void load_optimizer_state(ParameterOptimizer& optimizer, const compat::PickleNode& state,
                          const compat::ConfigValue& overrides, const std::string& file);

/// What fairseq's checkpoints lack for an exact resume in half precision: the fp32 weights and the
/// loss scaler's counters. Null where nothing is lacking.
compat::PickleNode* exact_state(compat::PickleArena& arena, const ParameterOptimizer& optimizer);

/// Takes it up. False when the model that was loaded is not the one these fp32 weights belong to
/// (it was averaged or branched since): then they stay made from the model.
bool load_exact_state(ParameterOptimizer& optimizer, const compat::PickleNode& state,
                      const std::string& file);

/// The parts of a flat buffer that parameters cover, copied to the CPU in fp32, each in memory of
/// its own shape.
std::vector<at::Tensor> snapshot(const FlatParameters& flat, const at::Tensor& buffer);

}  // namespace btm
