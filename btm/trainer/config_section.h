// One section of a checkpoint's configuration, to be filled in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "compat/fairseq/config.h"

namespace btm {

/// Assigns values of one section; keys are fairseq's.
class ConfigSection {
 public:
  ConfigSection(compat::ConfigValue& root, std::string_view name)
      : dict_(std::get<compat::ConfigValue::Dict>(
            member(std::get<compat::ConfigValue::Dict>(root.value), name).value)) {}
  explicit ConfigSection(compat::ConfigValue::Dict& dict) : dict_(dict) {}

  void set(std::string_view key, bool value) { put(key, {value}); }
  void set(std::string_view key, std::int64_t value) { put(key, {value}); }
  void set(std::string_view key, double value) { put(key, {value}); }
  void set(std::string_view key, const std::string& value) { put(key, {value}); }
  void set(std::string_view key, const std::vector<double>& values) { put_list(key, values); }
  void set(std::string_view key, const std::vector<std::int64_t>& values) { put_list(key, values); }
  void set(std::string_view key, const std::vector<std::string>& values) { put_list(key, values); }
  void set(std::string_view key, const compat::ConfigValue& value) { put(key, value); }
  template <class T>
  void set(std::string_view key, const std::optional<T>& value) {
    if (value)
      set(key, *value);
    else
      put(key, {});
  }
  /// None where the number is 0, which means 'not given' in TrainOptions.
  void set_unless_zero(std::string_view key, std::int64_t value) {
    if (value != 0) set(key, value);
  }
  void set_unless_empty(std::string_view key, const std::string& value) {
    if (!value.empty()) set(key, value);
  }

 private:
  static compat::ConfigValue& member(compat::ConfigValue::Dict& dict, std::string_view key) {
    for (auto& [name, value] : dict)
      if (name == key) return value;
    return dict.emplace_back(std::string(key), compat::ConfigValue{}).second;
  }
  void put(std::string_view key, compat::ConfigValue value) {
    member(dict_, key) = std::move(value);
  }
  template <class T>
  void put_list(std::string_view key, const std::vector<T>& values) {
    compat::ConfigValue::List list;
    for (const T& value : values) list.push_back({value});
    put(key, {std::move(list)});
  }
  compat::ConfigValue::Dict& dict_;
};

}  // namespace btm
