// The output of a command of btm-convert.
#pragma once

#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace btm_test {

/// Runs the function of a command. `status` receives its return value. Exceptions pass through.
template <class Run>
std::string output_of(Run&& run, const std::vector<std::string>& args, int* status = nullptr) {
  std::ostringstream out;
  auto* const old = std::cout.rdbuf(out.rdbuf());
  try {
    const int returned = run(std::span<const std::string>(args));
    if (status != nullptr) *status = returned;
  } catch (...) {
    std::cout.rdbuf(old);
    throw;
  }
  std::cout.rdbuf(old);
  return out.str();
}

}  // namespace btm_test
