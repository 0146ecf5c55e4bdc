// `last_optimizer_state` of a checkpoint, in the layouts of fairseq's optimizers.
#pragma once

#include <string>

#include "btm/trainer/parameter_optimizer.h"
#include "compat/fairseq/config.h"
#include "compat/torch/pickle_value.h"

namespace btm {

/// The slots that have entries of their own in a checkpoint, in the order of their numbers: those
/// of trained parameters. fairseq's optimizers know no others.
std::vector<std::size_t> entry_slots(const FlatParameters& flat);

/// The optimizer's state as fairseq saves it in the run's precision: an entry per trained
/// parameter, numbered in order. --fp16 has one entry for the concatenation of all parameters, and
/// `loss_scale`. Tensors are snapshots.
compat::PickleNode* optimizer_state(compat::PickleArena& arena, const ParameterOptimizer& optimizer,
                                    double lr);

/// Restores such a state, in either layout. As in fairseq the group's numbers in the file (betas,
/// momentum, weight decay, ...) replace those of the run, and `overrides` (--optimizer-overrides)
/// replaces those of the file. FormatError names `file` and the entry whose shape does not fit the
/// model.
void load_optimizer_state(ParameterOptimizer& optimizer, const compat::PickleNode& state,
                          const compat::ConfigValue& overrides, const std::string& file);

/// The state that fairseq's checkpoints lack for an exact resume in half precision: the fp32
/// weights and the loss scaler's counters. Null in fp32.
compat::PickleNode* exact_state(compat::PickleArena& arena, const ParameterOptimizer& optimizer);

/// Restores it. False when the fp32 weights belong to another model than the loaded one, which may
/// have been averaged or branched since. The fp32 weights then come from the model.
bool load_exact_state(ParameterOptimizer& optimizer, const compat::PickleNode& state,
                      const std::string& file);

/// The slots of a flat buffer, each copied to the CPU in fp32 and in the parameter's shape.
std::vector<at::Tensor> snapshot(const FlatParameters& flat, const at::Tensor& buffer);

}  // namespace btm
