#include "compat/base/version.h"

namespace compat {

std::string_view program_version() noexcept { return BTM_VERSION; }

}  // namespace compat
