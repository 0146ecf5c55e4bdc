// Converts a checkpoint's configuration between fairseq's two forms: the flat Namespace of old
// versions and the nested cfg of new ones.
#pragma once

#include "compat/fairseq/config.h"
#include "compat/torch/pickle_value.h"

namespace converters {

/// The sections of cfg as one argparse.Namespace. arch, task, criterion, optimizer and lr_scheduler
/// hold the names of their sections. When several sections have a key, the model's value counts,
/// then the task's, then the first that is not None.
compat::PickleNode* namespace_of(compat::PickleArena& arena, const compat::Config& config);

/// A Namespace as nested dict. Each value is put into every section in which fairseq 0.12 keeps its
/// key. Unknown keys are put into model.
compat::PickleNode* cfg_of(compat::PickleArena& arena, const compat::Config& config);

}  // namespace converters
