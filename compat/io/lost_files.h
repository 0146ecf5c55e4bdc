// An error message for mapped files that another process shortens. Reading the lost part raises
// SIGBUS.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace compat {

/// Installs a handler for SIGBUS. When the address lies in a noted mapping, it prints one line that
/// begins with `label` and names the file. It then removes the temporaries and ends the process
/// with status 1. At other addresses SIGBUS ends the process as usual.
void report_lost_files(const std::string& label);

/// Notes the bytes of a mapping until forget_mapping() is called with the same bytes. At most 1,024
/// mappings are noted; further ones are ignored.
void note_mapping(std::span<const std::byte> bytes, const std::string& path) noexcept;
void forget_mapping(std::span<const std::byte> bytes) noexcept;

}  // namespace compat
