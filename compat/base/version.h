// The version of the project, which all its programs share.
#pragma once

#include <string_view>

namespace compat {

std::string_view program_version() noexcept;

}  // namespace compat
