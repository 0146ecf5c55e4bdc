// Lists of paths and names on command lines.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace converters {

/// The parts between separators, empty ones left out.
inline std::vector<std::string> split_at(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

}  // namespace converters
