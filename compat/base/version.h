// The version of this program, which is the whole project's.
#pragma once

#include <string_view>

namespace compat {

std::string_view program_version() noexcept;

}  // namespace compat
