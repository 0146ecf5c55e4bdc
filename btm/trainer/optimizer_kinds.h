// The table of --optimizer: fairseq's names, what each kind supports, and its options as fairseq
// writes them in cfg.optimizer and in the checkpoint's param_groups. No torch here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "btm/trainer/options.h"
#include "compat/fairseq/config.h"

namespace btm {

struct OptimizerKind {
  std::string_view name;        ///< --optimizer
  std::string_view class_name;  ///< fairseq's class, as optimizer_history names it in fp32
  bool flat;                    ///< Whether fairseq's --fp16 may join all parameters for it.
  bool memory_efficient;        ///< Whether fairseq's --memory-efficient-... flags take it.
  /// The keys of cfg.optimizer.
  compat::ConfigValue::Dict (*config)(const OptimizationOptions& options);
  /// The keys of a param_group between `lr` and `params`. `lr` is the first of --lr.
  compat::ConfigValue::Dict (*group)(const OptimizationOptions& options, double lr);
};

/// UsageError for a name that is not in the table. It says what is missing for fairseq's others.
const OptimizerKind& optimizer_kind(const std::string& name);

/// The kind whose class has this name in optimizer_history; null for none of the table.
const OptimizerKind* optimizer_of_class(std::string_view class_name);

/// UsageError for options that fairseq refuses, alone or with the run's precision.
void check_optimizer(const TrainOptions& options);

/// cfg.optimizer as fairseq writes it, without `lr`.
compat::ConfigValue::Dict optimizer_config(const OptimizationOptions& options);

}  // namespace btm
