// Mapped files that another process cuts short: reading what is gone raises SIGBUS, which becomes
// an error message.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace compat {

/// From now on SIGBUS inside a noted mapping prints one line that begins with `label` and names the
/// file, removes the temporaries and ends the process with status 1. Elsewhere it ends the process
/// as ever.
void report_lost_files(const std::string& label);

/// Names the bytes of a mapping, until forget_mapping() of the same bytes. Of those beyond a
/// thousand files nothing is noted.
void note_mapping(std::span<const std::byte> bytes, const std::string& path) noexcept;
void forget_mapping(std::span<const std::byte> bytes) noexcept;

}  // namespace compat
