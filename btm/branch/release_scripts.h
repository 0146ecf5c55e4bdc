// The scripts with the release's names (scripts/btm_shell_scripts, scripts/btm_utils), put where a
// user wants them.
#pragma once

#include <filesystem>

namespace btm {

/// The folder that holds btm_shell_scripts and btm_utils for the program at `program`: that of its
/// checkout or installation. IoError, saying where it looked, when there is none.
std::filesystem::path release_scripts_of(const std::filesystem::path& program);

/// Copies both folders from `source` to `target` (made when it is not there), and beside them a
/// link named btm to `program`, by which the scripts find it. IoError when one of the three is
/// there already; then, and when a copy fails, nothing is left in it.
void copy_release_scripts(const std::filesystem::path& source, const std::filesystem::path& program,
                          const std::filesystem::path& target);

}  // namespace btm
