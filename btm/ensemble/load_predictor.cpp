#include "btm/ensemble/load_predictor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "btm/evaluator/load_scorer.h"
#include "btm/mixing/model_predictor.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {

std::unique_ptr<Predictor> load_predictor(std::span<const compat::NamedModel> experts,
                                          const std::string& model_overrides, Posterior posterior,
                                          const MachineOptions& machine,
                                          const compat::Dictionary& dictionary,
                                          const std::string& dictionary_file,
                                          const PredictorRoom& room) {
  use_threads(machine);
  MachineOptions cpu = machine;
  cpu.cpu = true;
  Precision precision = precision_for(cpu);
  precision.as_stored = false;
  const std::int64_t positions = positions_of(compat::paths_of(experts), model_overrides);
  if (room.kept && *room.kept >= positions)
    throw compat::UsageError(compat::concat("--context-window is ", *room.kept,
                                            ", expected less than the ", positions,
                                            " positions of the model"));
  std::vector<NamedExpert> loaded;
  for (const compat::NamedModel& expert : experts)
    loaded.push_back(
        {expert.path.string(), load_model(open_model(expert.path.string(), model_overrides),
                                          dictionary, dictionary_file, precision)});
  return make_predictor(std::move(loaded), std::move(posterior), std::max(room.tokens, positions),
                        room.kept);
}

}  // namespace btm
