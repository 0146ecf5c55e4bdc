// Suggestions for mistyped names.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace compat {

/// The closest of `names` to `typed`, or "" when none is close.
std::string nearest_name(std::string_view typed, std::span<const std::string> names);

}  // namespace compat
