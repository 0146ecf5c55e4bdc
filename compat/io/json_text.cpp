#include "compat/io/json_text.h"

#include <nlohmann/json.hpp>

#include "compat/base/concat.h"

namespace compat {

std::string json_limit_passed(std::string_view text, const JsonLimits& limits) {
  const auto bytes = [](std::size_t count) { return concat(count, " bytes"); };
  if (text.size() > limits.bytes)
    return "is JSON of " + bytes(text.size()) + ", more than " + bytes(limits.bytes);
  std::size_t depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      const std::size_t start = ++i;
      while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
      if (i - start > limits.string_bytes)
        return "holds a string of more than " + bytes(limits.string_bytes);
    } else if (c == '[' || c == '{') {
      if (++depth > limits.depth) return concat("nests deeper than ", limits.depth, " levels");
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return {};
}

std::string json_problem(const std::exception& error) {
  // The library's documented texts: "key 'K' not found", "type must be T, but is U", "cannot use
  // at() with U", "array index N is out of range", each behind "[json.exception.KIND.ID] ".
  const std::string_view text = error.what();
  const auto has = [&](std::string_view part) { return text.find(part) != std::string_view::npos; };
  const auto between = [&](std::string_view before, std::string_view after) {
    const std::string_view rest = text.substr(text.find(before) + before.size());
    return printable(after.empty() ? rest : rest.substr(0, rest.rfind(after)));
  };
  if (has("] key '")) return "has no key '" + between("] key '", "' not found") + "'";
  if (has("] type must be "))
    return "holds " + between(", but is ", "") + ", expected " +
           between("] type must be ", ", but is ");
  if (has("] cannot use "))
    return "holds " + between(" with ", "") + ", expected an object or array";
  if (has("] array index ")) return "holds an array that is too short";
  return "holds a value of another kind";
}

nlohmann::json parse_json(std::string_view text) {
  if (!json_limit_passed(text).empty()) return nlohmann::json(nlohmann::json::value_t::discarded);
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

nlohmann::json parse_json_object(std::string_view text, const Location& where,
                                 std::string_view expected) {
  const auto refuse = [&](const std::string& problem) {
    throw FormatError(where, problem + ", expected " + std::string(expected));
  };
  if (const std::string passed = json_limit_passed(text); !passed.empty()) refuse(passed);
  auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) refuse("is not JSON");
  if (!json.is_object()) refuse("is not a JSON object");
  return json;
}

}  // namespace compat
