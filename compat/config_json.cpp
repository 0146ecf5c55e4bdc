#include "compat/config_json.h"

#include <nlohmann/json.hpp>

#include "compat/error.h"

namespace compat {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxJsonDepth = 64;

// First in the file: clang 14 must meet a ConfigValue by value before a loop over its members.
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

struct ToJson {
  Json operator()(std::monostate) const { return nullptr; }
  Json operator()(bool value) const { return value; }
  Json operator()(std::int64_t value) const { return value; }
  Json operator()(double value) const { return value; }
  Json operator()(const std::string& value) const { return value; }
  Json operator()(const ConfigValue::List& items) const {
    Json list = Json::array();
    for (const ConfigValue& item : items) list.push_back(std::visit(*this, item.value));
    return list;
  }
  Json operator()(const ConfigValue::Dict& items) const {
    Json dict = Json::object();
    for (const auto& [key, item] : items) dict[key] = std::visit(*this, item.value);
    return dict;
  }
};

struct ToPickle {
  PickleArena& arena;
  PickleNode* operator()(std::monostate) const { return arena.none(); }
  PickleNode* operator()(const ConfigValue::List& items) const {
    PickleList list;
    for (const ConfigValue& item : items) list.items.push_back(std::visit(*this, item.value));
    return arena.make(std::move(list));
  }
  PickleNode* operator()(const ConfigValue::Dict& items) const {
    PickleDict dict;
    for (const auto& [key, item] : items) dict.items.emplace_back(arena.string(key), std::visit(*this, item.value));
    return arena.make(std::move(dict));
  }
  PickleNode* operator()(bool value) const { return arena.make(value); }
  PickleNode* operator()(std::int64_t value) const { return arena.make(value); }
  PickleNode* operator()(double value) const { return arena.make(value); }
  PickleNode* operator()(const std::string& value) const { return arena.make(value); }
};

}  // namespace

std::string config_to_json(const ConfigValue& value) { return std::visit(ToJson{}, value.value).dump(-1, ' ', false, Json::error_handler_t::replace); }

ConfigValue config_from_json(std::string_view text, const std::string& file) {
  bool too_deep = false;
  const Json json = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        too_deep |= depth > kMaxJsonDepth;
        return !too_deep;
      },
      false);
  if (json.is_discarded() || too_deep) throw FormatError({file, {}, {}}, "is no JSON of moderate depth, expected a configuration");
  return from_json(json);
}

PickleNode* config_to_pickle(PickleArena& arena, const ConfigValue& value) { return std::visit(ToPickle{arena}, value.value); }

}  // namespace compat
