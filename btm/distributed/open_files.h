// How many files and connections a rank may have open.
#pragma once

#include <cstdint>

namespace btm {

/// Of rank 0, which holds most: two connections of every rank to its store, one to each for every
/// group, and its own files.
std::int64_t open_files_of(int ranks) noexcept;

/// Raises this process's limit where it can (children inherit it). IoError where less than
/// open_files_of(ranks) are allowed: then ranks would wait for connections that are never made.
void allow_open_files(int ranks);

}  // namespace btm
