#include "compat/fairseq/config.h"

#include <algorithm>
#include <cmath>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace compat {
namespace {

// fairseq's own configurations have 3 levels and about 700 values.
constexpr int kMaxConfigDepth = 32;
constexpr std::size_t kMaxValues = 100'000;
/// Limit on all text together: the memo or interpolations can repeat one long text many times.
constexpr std::size_t kMaxTextBytes = std::size_t{16} << 20;
constexpr std::string_view kMissing = "???";

const PickleGlobal* class_of(const PickleObject& object) {
  const auto* global =
      object.callable == nullptr ? nullptr : object.callable->get_if<PickleGlobal>();
  if (global == nullptr) return nullptr;
  const bool reconstructs = ((global->module == "copy_reg" || global->module == "copyreg") &&
                             (global->name == "_reconstructor" || global->name == "__newobj__"));
  if (!reconstructs) return global;
  const auto* args = object.args == nullptr ? nullptr : object.args->get_if<PickleTuple>();
  return args == nullptr || args->items.empty() ? nullptr : args->items[0]->get_if<PickleGlobal>();
}

bool is_omegaconf(const PickleNode* node) {
  const auto* object = node == nullptr ? nullptr : node->get_if<PickleObject>();
  const auto* type = object == nullptr ? nullptr : class_of(*object);
  return type != nullptr && type->module.starts_with("omegaconf.");
}

/// Converts a pickle's nodes to plain values and removes omegaconf's wrappers.
class Converter {
 public:
  explicit Converter(const std::string& file) : file_(file) {}

  ConfigValue convert(const PickleNode& node, const std::string& key, int depth = 0);

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& problem) const {
    throw FormatError({file_, key, {}}, problem);
  }
  ConfigValue convert_items(const std::vector<PickleNode*>& items, const std::string& key,
                            int depth);
  ConfigValue convert_dict(const std::vector<std::pair<PickleNode*, PickleNode*>>& items,
                           const std::string& key, int depth);
  ConfigValue convert_object(const PickleObject& object, const std::string& key, int depth);

  std::string text(const std::string& value, const std::string& key) {
    text_bytes_ += value.size();
    if (text_bytes_ > kMaxTextBytes)
      fail(key, "more than 16 MiB of text, expected a configuration");
    return value;
  }

  const std::string& file_;
  std::size_t values_ = 0, text_bytes_ = 0;
};

std::string joined(const std::string& key, std::string_view part) {
  return key.empty() ? printable(part) : key + "." + printable(part);
}

ConfigValue Converter::convert(const PickleNode& node, const std::string& key, int depth) {
  if (depth > kMaxConfigDepth)
    fail(key, concat("nests deeper than ", kMaxConfigDepth, ", expected a configuration"));
  if (++values_ > kMaxValues)
    fail(key, concat("more than ", kMaxValues, " values, expected a configuration"));
  if (node.is_none()) return {};
  if (const auto* value = node.get_if<bool>()) return {*value};
  if (const auto* value = node.get_if<std::int64_t>()) return {*value};
  if (const auto* value = node.get_if<double>()) return {*value};
  if (const auto* value = node.get_if<std::string>()) return {text(*value, key)};
  if (const auto* value = node.get_if<PickleTuple>())
    return convert_items(value->items, key, depth);
  if (const auto* value = node.get_if<PickleList>()) return convert_items(value->items, key, depth);
  if (const auto* value = node.get_if<PickleSet>()) return convert_items(value->items, key, depth);
  if (const auto* value = node.get_if<PickleDict>()) return convert_dict(value->items, key, depth);
  if (const auto* value = node.get_if<PickleObject>()) return convert_object(*value, key, depth);
  return {"<" + node.describe() + ">"};
}

ConfigValue Converter::convert_items(const std::vector<PickleNode*>& items, const std::string& key,
                                     int depth) {
  ConfigValue::List list;
  for (std::size_t i = 0; i < items.size(); ++i)
    list.push_back(convert(*items[i], joined(key, std::to_string(i)), depth + 1));
  return {std::move(list)};
}

ConfigValue Converter::convert_dict(const std::vector<std::pair<PickleNode*, PickleNode*>>& items,
                                    const std::string& key, int depth) {
  ConfigValue::Dict dict;
  for (const auto& [name, value] : items) {
    const auto* word = name->get_if<std::string>();
    const auto* number = name->get_if<std::int64_t>();
    if (word == nullptr && number == nullptr)
      fail(key, "has the key " + name->describe() + ", expected a string");
    std::string member = word != nullptr ? text(*word, key) : std::to_string(*number);
    const std::string place = joined(key, member);
    dict.emplace_back(std::move(member), convert(*value, place, depth + 1));
  }
  return {std::move(dict)};
}

ConfigValue Converter::convert_object(const PickleObject& object, const std::string& key,
                                      int depth) {
  const PickleGlobal* const type = class_of(object);
  if (type == nullptr) return {std::string("<object>")};
  const auto member = [&](std::string_view name) -> const PickleNode* {
    return object.state == nullptr ? nullptr : object.state->find(name);
  };
  if (type->module.starts_with("omegaconf.")) {
    // Containers keep their children in _content, which can also be None, '???' or an
    // interpolation. Values keep theirs in _val.
    const PickleNode* inner = member("_content");
    if (inner == nullptr) inner = member("_val");
    if (inner == nullptr)
      fail(key, "an " + printable(type->module + "." + type->name) + " without content");
    return convert(*inner, key, depth + 1);
  }
  if (type->name == "Namespace" && object.state != nullptr)
    return convert(*object.state, key, depth + 1);
  const auto* args = object.args == nullptr ? nullptr : object.args->get_if<PickleTuple>();
  // Enum members pickle as Class(value).
  const bool is_enum = type->module.starts_with("fairseq.dataclass") ||
                       type->module.starts_with("metaseq.dataclass");
  if (is_enum && args != nullptr && args->items.size() == 1)
    return convert(*args->items[0], key, depth + 1);
  if (type->module.starts_with("pathlib") && args != nullptr) {
    std::string path;
    for (const PickleNode* part : args->items)
      if (const auto* word = part->get_if<std::string>())
        path += (path.empty() || path.ends_with('/') ? "" : "/") + text(*word, key);
    return {std::move(path)};
  }
  return {"<" + printable(type->module + "." + type->name) + ">"};
}

/// Resolves omegaconf's `${...}` and removes missing values ('???'). Custom resolvers
/// (`${env:HOME}`) are not run: their text is kept.
class Resolver {
 public:
  Resolver(const ConfigValue& root, const std::string& file) : root_(root), file_(file) {}

  ConfigValue resolve(const ConfigValue& value, std::vector<std::string>& place, int depth = 0);

 private:
  ConfigValue resolve_text(const std::string& text, const std::vector<std::string>& place,
                           int depth);
  const ConfigValue* target(std::string_view expression, const std::vector<std::string>& place,
                            std::vector<std::string>& target_place) const;

  const ConfigValue& root_;
  const std::string& file_;
  std::size_t values_ = 0, text_bytes_ = 0;
};

std::string dotted(const std::vector<std::string>& place) {
  std::string text;
  for (const std::string& part : place) text = joined(text, part);
  return text;
}

ConfigValue Resolver::resolve(const ConfigValue& value, std::vector<std::string>& place,
                              int depth) {
  if (depth > 2 * kMaxConfigDepth)
    throw FormatError({file_, dotted(place), {}}, "an interpolation refers to itself");
  if (++values_ > kMaxValues)
    throw FormatError({file_, dotted(place), {}},
                      concat("interpolations make more than ", kMaxValues, " values"));
  if (const auto* text = std::get_if<std::string>(&value.value)) {
    text_bytes_ += text->size();
    if (text_bytes_ > kMaxTextBytes)
      throw FormatError({file_, dotted(place), {}}, "interpolations make more than 16 MiB of text");
    return resolve_text(*text, place, depth);
  }
  if (const auto* list = std::get_if<ConfigValue::List>(&value.value)) {
    ConfigValue::List out;
    for (std::size_t i = 0; i < list->size(); ++i) {
      place.push_back(std::to_string(i));
      out.push_back(resolve((*list)[i], place, depth + 1));
      place.pop_back();
    }
    return {std::move(out)};
  }
  if (const auto* dict = std::get_if<ConfigValue::Dict>(&value.value)) {
    ConfigValue::Dict out;
    for (const auto& [key, member] : *dict) {
      if (const auto* text = std::get_if<std::string>(&member.value);
          text != nullptr && *text == kMissing)
        continue;
      place.push_back(key);
      out.emplace_back(key, resolve(member, place, depth + 1));
      place.pop_back();
    }
    return {std::move(out)};
  }
  return value;
}

ConfigValue Resolver::resolve_text(const std::string& text, const std::vector<std::string>& place,
                                   int depth) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = text.find("${", at),
                      end = start == std::string::npos ? start : text.find('}', start);
    if (end == std::string::npos) return {out + text.substr(at)};
    const std::string_view expression = std::string_view(text).substr(start + 2, end - start - 2);
    std::vector<std::string> target_place;
    const ConfigValue* const found = expression.find(':') != std::string_view::npos
                                         ? nullptr
                                         : target(expression, place, target_place);
    if (found == nullptr && expression.find(':') == std::string_view::npos)
      throw FormatError({file_, dotted(place), {}},
                        "'" + printable(text) + "' refers to nothing in the configuration");
    const bool whole = start == 0 && end + 1 == text.size();
    if (found != nullptr && whole) return resolve(*found, target_place, depth + 1);
    out += text.substr(at, start - at);
    out += found == nullptr ? text.substr(start, end + 1 - start)
                            : resolve(*found, target_place, depth + 1).to_text();
    if (out.size() > kMaxValues)
      throw FormatError({file_, dotted(place), {}}, "interpolations make a text without end");
    at = end + 1;
  }
  return {std::move(out)};
}

const ConfigValue* Resolver::target(std::string_view expression,
                                    const std::vector<std::string>& place,
                                    std::vector<std::string>& target_place) const {
  if (expression.starts_with('.')) {  // `.x` is a sibling; each further dot goes one level up
    std::size_t dots = expression.find_first_not_of('.');
    if (dots == std::string_view::npos) dots = expression.size();
    if (dots > place.size()) return nullptr;
    target_place.assign(place.begin(), place.end() - static_cast<std::ptrdiff_t>(dots));
    expression.remove_prefix(dots);
  }
  while (!expression.empty()) {
    const std::size_t dot = expression.find('.');
    target_place.emplace_back(expression.substr(0, dot));
    expression.remove_prefix(dot == std::string_view::npos ? expression.size() : dot + 1);
  }
  const ConfigValue* at = &root_;
  for (const std::string& part : target_place) {
    if (const auto* list = std::get_if<ConfigValue::List>(&at->value)) {
      const auto index = number_of<std::size_t>(part);
      at = index && *index < list->size() ? &(*list)[*index] : nullptr;
    } else {
      at = at->find(part);
    }
    if (at == nullptr) return nullptr;
  }
  return at;
}

/// Sets section[key] to value.
void assign(ConfigValue::Dict& section, const std::string& key, const ConfigValue& value) {
  const auto place = std::ranges::find(section, key, &ConfigValue::Dict::value_type::first);
  if (place == section.end())
    section.emplace_back(key, value);
  else
    place->second = value;
}

void override_members(ConfigValue::Dict& section, const ConfigValue::Dict& overrides, int depth) {
  const auto lookup = [&](const std::string& key) -> const ConfigValue* {
    for (const auto& [name, value] : overrides)
      if (name == key) return &value;
    return nullptr;
  };
  for (auto& [key, member] : section) {
    const ConfigValue* const replacement = lookup(key);
    auto* const inner = std::get_if<ConfigValue::Dict>(&member.value);
    if (inner == nullptr) {
      if (replacement != nullptr) member = *replacement;
      continue;
    }
    const auto* const inner_overrides =
        replacement == nullptr ? nullptr : std::get_if<ConfigValue::Dict>(&replacement->value);
    if (inner_overrides == nullptr) {
      if (depth < kMaxConfigDepth) override_members(*inner, overrides, depth + 1);
      continue;
    }
    for (const auto& [name, value] : *inner_overrides) assign(*inner, name, value);
  }
}

}  // namespace

const ConfigValue* ConfigValue::find(std::string_view key) const noexcept {
  const auto* dict = std::get_if<Dict>(&value);
  if (dict == nullptr) return nullptr;
  for (const auto& [name, member] : *dict)
    if (name == key) return &member;
  return nullptr;
}

Config::Config(ConfigValue root, std::string file)
    : root_(std::move(root)), file_(std::move(file)) {}

Config Config::from_checkpoint(const PickleNode* cfg, const PickleNode* args,
                               const std::string& file) {
  const bool use_cfg = cfg != nullptr && !cfg->is_none();
  const PickleNode* const source = use_cfg ? cfg : args;
  if (source == nullptr || source->is_none())
    throw FormatError({file, {}, {}}, "holds neither cfg nor args, expected a configuration");
  const std::string key = use_cfg ? "cfg" : "args";
  ConfigValue root = Converter(file).convert(*source, key);
  if (!std::holds_alternative<ConfigValue::Dict>(root.value))
    throw FormatError({file, key, {}}, "is " + source->describe() +
                                           ", expected a dict, a DictConfig or a Namespace");
  if (is_omegaconf(source)) {
    std::vector<std::string> place;
    root = Resolver(root, file).resolve(ConfigValue(root), place);
  }
  Config config(std::move(root), file);
  config.flat_ = !use_cfg;
  return config;
}

const ConfigValue* Config::find(std::string_view section, std::string_view key) const noexcept {
  const ConfigValue* const from = flat_ ? &root_ : root_.find(section);
  const ConfigValue* const found = from == nullptr ? nullptr : from->find(key);
  return found == nullptr || found->is_none() ? nullptr : found;
}

namespace {

[[noreturn]] void fail_type(const Config& config, std::string_view section, std::string_view key,
                            const ConfigValue& found, std::string_view expected) {
  throw FormatError({config.file(),
                     config.is_flat() ? "args." + std::string(key)
                                      : "cfg." + std::string(section) + "." + std::string(key),
                     {}},
                    "is " + printable(found.to_text()) + ", expected " + std::string(expected));
}

}  // namespace

std::int64_t Config::get_int(std::string_view section, std::string_view key,
                             std::int64_t fallback) const {
  const ConfigValue* const found = find(section, key);
  if (found == nullptr) return fallback;
  if (const auto* value = std::get_if<std::int64_t>(&found->value)) return *value;
  if (const auto* value = std::get_if<bool>(&found->value)) return *value ? 1 : 0;
  if (const auto* value = std::get_if<double>(&found->value);
      value != nullptr && *value == std::floor(*value) && std::abs(*value) < 1e15)
    return static_cast<std::int64_t>(*value);
  fail_type(*this, section, key, *found, "an int");
}

double Config::get_float(std::string_view section, std::string_view key, double fallback) const {
  const ConfigValue* const found = find(section, key);
  if (found == nullptr) return fallback;
  if (const auto* value = std::get_if<double>(&found->value)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&found->value))
    return static_cast<double>(*value);
  fail_type(*this, section, key, *found, "a number");
}

bool Config::get_bool(std::string_view section, std::string_view key, bool fallback) const {
  const ConfigValue* const found = find(section, key);
  if (found == nullptr) return fallback;
  if (const auto* value = std::get_if<bool>(&found->value)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&found->value);
      value != nullptr && (*value == 0 || *value == 1))
    return *value == 1;
  fail_type(*this, section, key, *found, "True or False");
}

std::string Config::get_string(std::string_view section, std::string_view key,
                               std::string_view fallback) const {
  const ConfigValue* const found = find(section, key);
  if (found == nullptr) return std::string(fallback);
  if (const auto* value = std::get_if<std::string>(&found->value)) return *value;
  fail_type(*this, section, key, *found, "a string");
}

void Config::override_with(const ConfigValue& overrides) {
  const auto* dict = std::get_if<ConfigValue::Dict>(&overrides.value);
  if (dict == nullptr)
    throw UsageError("'" + printable(overrides.to_text()) + "', expected a dict");
  auto* root = std::get_if<ConfigValue::Dict>(&root_.value);
  if (root == nullptr) return;
  if (!flat_) return override_members(*root, *dict, 0);
  for (const auto& [key, value] : *dict) assign(*root, key, value);
}

}  // namespace compat
