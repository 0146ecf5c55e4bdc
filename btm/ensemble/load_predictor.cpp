#include "btm/ensemble/load_predictor.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "btm/evaluator/load_scorer.h"
#include "btm/mixing/model_predictor.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {

std::unique_ptr<Predictor> load_predictor(std::span<const OpenedModel> experts, Posterior posterior,
                                          const MachineOptions& machine,
                                          const compat::Dictionary& dictionary,
                                          const std::string& dictionary_file,
                                          const PredictorRoom& room) {
  use_threads(machine);
  Precision precision = precision_for(machine);
  precision.as_stored = false;
  precision.copies =
      precision.device.is_cpu();  // few rows at a time read every weight again and again
  std::int64_t positions = std::numeric_limits<std::int64_t>::max();
  for (const OpenedModel& expert : experts) positions = std::min(positions, positions_of(*expert));
  if (room.kept && *room.kept >= positions)
    throw compat::UsageError(compat::concat("--context-window is ", *room.kept,
                                            ", expected less than the ", positions,
                                            " positions of the model"));
  std::vector<NamedExpert> loaded;
  for (const OpenedModel& expert : experts)
    loaded.push_back({expert->path(), load_model(*expert, dictionary, dictionary_file, precision)});
  return make_predictor(std::move(loaded), std::move(posterior), std::max(room.tokens, positions),
                        room.kept);
}

}  // namespace btm
