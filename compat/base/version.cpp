#include "compat/base/version.h"

namespace compat {

std::string_view program_version() noexcept { return BTM_VERSION; }
std::string_view program_date() noexcept { return BTM_DATE; }

}  // namespace compat
