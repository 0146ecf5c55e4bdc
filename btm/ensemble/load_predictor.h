// A predictor of the models that a command line names.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "btm/evaluator/eval_options.h"
#include "btm/mixing/posterior.h"
#include "btm/mixing/predictor.h"
#include "compat/checkpoint/checkpoint.h"
#include "compat/fairseq/dictionary.h"

namespace btm {

/// What a predictor keeps of the texts that it reads.
struct PredictorRoom {
  std::int64_t tokens = 0;  ///< Of all rows together, and at least the models' positions.
  /// Tokens of a full window that the next one begins with. Nothing: half of it.
  std::optional<std::int64_t> kept;
};

/// A model that was opened once for all who read it.
using OpenedModel = std::shared_ptr<const compat::Checkpoint>;

/// Loads the experts. `dictionary_file` is for messages. Errors of load_model();
/// UsageError where `room.kept` is not less than the positions.
std::unique_ptr<Predictor> load_predictor(std::span<const OpenedModel> experts, Posterior posterior,
                                          const MachineOptions& machine,
                                          const compat::Dictionary& dictionary,
                                          const std::string& dictionary_file,
                                          const PredictorRoom& room);

}  // namespace btm
