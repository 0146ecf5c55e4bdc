#include "btm/cli/cluster_flags.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "compat/base/error.h"

namespace btm {

compat::Flag temperature_flag(double& field) {
  return {"temperature", "T", "weights are in proportion to exp(-distance^2 / T)",
          nlohmann::json(field).dump(), [&field](const std::string& text) {
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), field);
            if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(field) ||
                field <= 0)
              throw compat::UsageError("expected a number above 0");
          }};
}

}  // namespace btm
