// What the trainings of a run cost, and how much of it went into each row of its matrix.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "btm/report/evaluation_matrix.h"
#include "btm/run/lineup.h"
#include "btm/run/plan.h"

namespace btm {

/// One training of the run.
struct Training {
  std::string step, name;
  std::int64_t first_update = 0, last_update = 0, tokens_per_update = 0;

  std::int64_t tokens() const { return (last_update - first_update) * tokens_per_update; }
};

/// In the order of the steps. The mixture's updates count from the experts' last.
std::vector<Training> trainings(const Plan& plan, const Lineup& lineup);

/// By row: tokens times the parameters that a token uses, over all trainings behind the row. Two
/// thirds of that where only routers are trained, because the products for the gradients of
/// matrices, a third of them, are left out. NaN where it is not known: of experts that came
/// trained, of what they are part of, and without the sizes in `matrix`.
std::vector<double> training_costs(const Plan& plan, const Lineup& lineup,
                                   const EvalMatrix& matrix);

}  // namespace btm
