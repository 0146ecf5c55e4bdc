// The order in which people count: c2 before c10.
#pragma once

#include <string_view>

namespace compat {

/// Whether `a` comes before `b` where runs of digits stand for their numbers and all else is
/// compared byte by byte. Names that differ in leading zeros alone are ordered by bytes: no two
/// names are equal.
bool natural_less(std::string_view a, std::string_view b) noexcept;

}  // namespace compat
