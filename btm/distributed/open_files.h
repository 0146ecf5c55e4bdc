// The number of files and connections that a rank may have open.
#pragma once

#include <cstdint>

namespace btm {

/// The number for rank 0, which has most: two connections from every rank to its store, one to each
/// rank per group, and its own files.
std::int64_t open_files_of(int ranks) noexcept;

/// Raises this process's limit if it can; children inherit it. IoError where fewer than
/// open_files_of(ranks) are allowed: ranks would wait for connections that cannot be made.
void allow_open_files(int ranks);

}  // namespace btm
