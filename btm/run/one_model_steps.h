// The steps that make one model of the experts: averages and a mixture.
#pragma once

#include <utility>
#include <vector>

#include "btm/run/step_names.h"

namespace btm {

/// The average, the tuned average, the mixture and where it sends the domains: those that the plan
/// asks for.
std::vector<Step> one_model_steps(const StepNames& names);

/// A model of the run that is neither an expert nor the seed model.
struct OtherModel {
  std::string step, name;      ///< The step that makes it; its row in the matrix.
  std::filesystem::path file;  ///< In the run's folder.
};
std::vector<OtherModel> other_models(const Plan& plan);

}  // namespace btm
