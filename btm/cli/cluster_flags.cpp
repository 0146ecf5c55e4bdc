#include "btm/cli/cluster_flags.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "compat/base/error.h"

namespace btm {

compat::Flag temperature_flag(double& field) {
  return {
      "temperature", "T", "weights are in proportion to exp(-distance^2 / T)",
      nlohmann::json(field).dump(), [&field](const std::string& text) {
        const double value = compat::parse_real(text);
        if (!std::isfinite(value) || value <= 0)
          throw compat::UsageError("'" + compat::printable(text) + "', expected a number above 0");
        field = value;
      }};
}

}  // namespace btm
