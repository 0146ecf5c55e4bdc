#include "compat/config_json.h"

#include <nlohmann/json.hpp>

#include "compat/error.h"

namespace compat {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 64;

Json to_json(const ConfigValue& value) {
  return std::visit(
      [](const auto& v) -> Json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<T, ConfigValue::List>) {
          Json list = Json::array();
          for (const auto& item : v) list.push_back(to_json(item));
          return list;
        } else if constexpr (std::is_same_v<T, ConfigValue::Dict>) {
          Json dict = Json::object();
          for (const auto& [key, item] : v) dict[key] = to_json(item);
          return dict;
        } else {
          return v;
        }
      },
      value.value);
}

ConfigValue from_json(const Json& json) {
  if (json.is_boolean()) return {json.get<bool>()};
  if (json.is_number_float() || (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX)) return {json.get<double>()};
  if (json.is_number_integer()) return {json.get<std::int64_t>()};
  if (json.is_string()) return {json.get<std::string>()};
  if (json.is_array()) {
    ConfigValue::List list;
    for (const Json& item : json) list.push_back(from_json(item));
    return {std::move(list)};
  }
  if (json.is_object()) {
    ConfigValue::Dict dict;
    for (const auto& [key, item] : json.items()) dict.emplace_back(key, from_json(item));
    return {std::move(dict)};
  }
  return {};
}

}  // namespace

std::string config_to_json(const ConfigValue& value) { return to_json(value).dump(-1, ' ', false, Json::error_handler_t::replace); }

ConfigValue config_from_json(std::string_view text, const std::string& file) {
  bool too_deep = false;
  const Json json = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        too_deep |= depth > kMaxDepth;
        return !too_deep;
      },
      false);
  if (json.is_discarded() || too_deep) throw FormatError({file, {}, {}}, "is no JSON of moderate depth, expected a configuration");
  return from_json(json);
}

PickleNode* config_to_pickle(PickleArena& arena, const ConfigValue& value) {
  return std::visit(
      [&](const auto& v) -> PickleNode* {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return arena.none();
        } else if constexpr (std::is_same_v<T, ConfigValue::List>) {
          PickleList list;
          for (const auto& item : v) list.items.push_back(config_to_pickle(arena, item));
          return arena.make(std::move(list));
        } else if constexpr (std::is_same_v<T, ConfigValue::Dict>) {
          PickleDict dict;
          for (const auto& [key, item] : v) dict.items.emplace_back(arena.string(key), config_to_pickle(arena, item));
          return arena.make(std::move(dict));
        } else {
          return arena.make(v);
        }
      },
      value.value);
}

}  // namespace compat
