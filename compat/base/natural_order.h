// An order that compares numbers inside names by value: c2 comes before c10.
#pragma once

#include <string_view>

namespace compat {

/// Whether `a` comes before `b`. Runs of digits are compared by value, all else byte by byte. Names
/// that differ only in leading zeros are ordered by bytes, so different names are never equal.
bool natural_less(std::string_view a, std::string_view b) noexcept;

}  // namespace compat
