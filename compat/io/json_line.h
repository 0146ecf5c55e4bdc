// JSON for programs that read line by line.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace compat {

/// A json or an ordered_json on one line, without a line end. What is not UTF-8 is replaced.
template <class Json>
std::string json_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace compat
