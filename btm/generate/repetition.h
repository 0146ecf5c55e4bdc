// Texts that go round in circles, as the most probable ones of small models do.
#pragma once

#include <cstdint>
#include <span>

namespace btm {

/// Whether a text ends with the same tokens three times in a row: up to 32 of them, and 12 tokens
/// in all or more.
bool ends_in_loop(std::span<const std::int64_t> tokens);

}  // namespace btm
