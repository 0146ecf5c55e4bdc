// Golden checkpoints, opened as load_predictor() takes them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "btm/ensemble/load_predictor.h"
#include "tests/support/files.h"

namespace btm_test {

/// `names` are paths in tests/golden.
inline std::vector<btm::OpenedModel> opened_models(const std::vector<std::string>& names) {
  std::vector<btm::OpenedModel> models;
  for (const std::string& name : names)
    models.push_back(
        std::make_shared<const compat::Checkpoint>(compat::Checkpoint::open(golden(name))));
  return models;
}

}  // namespace btm_test
