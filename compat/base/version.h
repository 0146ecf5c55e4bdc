// The version of the project, which all its programs share.
#pragma once

#include <string_view>

namespace compat {

std::string_view program_version() noexcept;
/// "2026-11-29": the date of the version, which manual pages show.
std::string_view program_date() noexcept;

}  // namespace compat
