#include "compat/fairseq/config_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/json_line.h"
#include "compat/io/json_text.h"

namespace compat {
namespace {

using Json = nlohmann::ordered_json;

// fairseq's own configurations have 3 levels and about 700 values in 30 KB.
constexpr JsonLimits kConfigLimits{
    .depth = 64, .bytes = std::size_t{16} << 20, .string_bytes = std::size_t{16} << 20};
constexpr std::size_t kMostConfigValues = 100'000;

/// Builds the tree during parsing. (The library's object type that keeps the order searches all
/// keys for each lookup.)
class ConfigBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit ConfigBuilder(const std::string& file) : file_(file) {}
  ConfigValue take() { return std::move(root_); }

  bool null() override { return put({}); }
  bool boolean(bool value) override { return put({value}); }
  bool number_integer(number_integer_t value) override { return put({std::int64_t{value}}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(INT64_MAX)) return put({static_cast<double>(value)});
    return put({static_cast<std::int64_t>(value)});
  }
  bool number_float(number_float_t value, const string_t&) override { return put({double{value}}); }
  bool string(string_t& value) override { return put({std::move(value)}); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open({ConfigValue::Dict{}}); }
  bool start_array(std::size_t) override { return open({ConfigValue::List{}}); }
  bool key(string_t& name) override {
    std::get<ConfigValue::Dict>(open_.back().value).emplace_back(std::move(name), ConfigValue{});
    return true;
  }
  bool end_array() override { return close(); }
  bool end_object() override {
    std::vector<std::string_view> keys;
    for (const auto& member : std::get<ConfigValue::Dict>(open_.back().value))
      keys.push_back(member.first);
    std::ranges::sort(keys);
    if (const auto twice = std::ranges::adjacent_find(keys); twice != keys.end())
      throw FormatError({file_, {}, {}},
                        "'" + printable(*twice) + "' comes twice, expected a configuration");
    return close();
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  bool put(ConfigValue value) {
    if (++values_ > kMostConfigValues)
      throw FormatError({file_, {}, {}}, concat("holds more than ", kMostConfigValues,
                                                " values, expected a configuration"));
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (auto* const list = std::get_if<ConfigValue::List>(&open_.back().value)) {
      list->push_back(std::move(value));
    } else {
      std::get<ConfigValue::Dict>(open_.back().value).back().second = std::move(value);
    }
    return true;
  }
  bool open(ConfigValue container) {
    open_.push_back(std::move(container));
    return true;
  }
  bool close() {
    ConfigValue done = std::move(open_.back());
    open_.pop_back();
    return put(std::move(done));
  }

  const std::string& file_;
  ConfigValue root_;
  std::vector<ConfigValue> open_;  ///< The containers that enclose the next value.
  std::size_t values_ = 0;
};

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
    auto& members = dict.get_ref<Json::object_t&>();  // operator[] would search all members
    for (const auto& [key, item] : items) members.emplace_back(key, std::visit(*this, item.value));
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
    for (const auto& [key, item] : items)
      dict.items.emplace_back(arena.string(key), std::visit(*this, item.value));
    return arena.make(std::move(dict));
  }
  PickleNode* operator()(bool value) const { return arena.make(value); }
  PickleNode* operator()(std::int64_t value) const { return arena.make(value); }
  PickleNode* operator()(double value) const { return arena.make(value); }
  PickleNode* operator()(const std::string& value) const { return arena.make(value); }
};

}  // namespace

nlohmann::ordered_json config_as_json(const ConfigValue& value) {
  return std::visit(ToJson{}, value.value);
}

std::string config_to_json(const ConfigValue& value) { return json_line(config_as_json(value)); }

ConfigValue config_from_json(std::string_view text, const std::string& file) {
  const auto refuse = [&](const std::string& problem) {
    throw FormatError({file, {}, {}}, problem + ", expected a configuration");
  };
  if (const std::string passed = json_limit_passed(text, kConfigLimits); !passed.empty())
    refuse(passed);
  ConfigBuilder builder(file);
  if (!Json::sax_parse(text, &builder)) refuse("is not JSON");
  return builder.take();
}

PickleNode* config_to_pickle(PickleArena& arena, const ConfigValue& value) {
  return std::visit(ToPickle{arena}, value.value);
}

PickleNode* namespace_to_pickle(PickleArena& arena, const ConfigValue& flat) {
  PickleObject object;
  object.how = PickleObject::How::kNewObj;
  object.callable = arena.make(PickleGlobal{"argparse", "Namespace"});
  object.args = arena.make(PickleTuple{});
  object.state = config_to_pickle(arena, flat);
  return arena.make(std::move(object));
}

}  // namespace compat
