// A checkpoint's configuration in fairseq's two forms: the flat Namespace of old versions, the
// nested cfg of new ones.
#pragma once

#include "compat/fairseq/config.h"
#include "compat/torch/pickle_value.h"

namespace converters {

/// cfg's sections in one argparse.Namespace: arch, task, criterion, optimizer, lr_scheduler are the
/// sections' names. Of a key that several sections have, the model's value counts, then the task's,
/// then the first that is not None.
compat::PickleNode* namespace_of(compat::PickleArena& arena, const compat::Config& config);

/// A nested dict of a Namespace's values, each in the sections where fairseq 0.12 keeps its key;
/// keys that no section has are put with the model's.
compat::PickleNode* cfg_of(compat::PickleArena& arena, const compat::Config& config);

}  // namespace converters
