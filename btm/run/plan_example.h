// A plan to start from, with every key.
#pragma once

#include <string_view>

namespace btm {

/// A plan of two domains. Keys that need not be given stand behind '#' with their defaults.
std::string_view plan_example();

}  // namespace btm
