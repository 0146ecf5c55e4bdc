// Flags that are numbers or lists of numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/fairseq/config.h"
#include "compat/program/command_line.h"

namespace btm {

using compat::flag_integer;  // beside the overload here

inline compat::Flag flag_real(std::string names, std::string value_name, double& field,
                              std::string help) {
  return {std::move(names), std::move(value_name), std::move(help), compat::general(field),
          [&field](const std::string& value) { field = compat::parse_real(value); }};
}

inline compat::Flag flag_probability(std::string names, double& field, std::string help) {
  return {std::move(names), "P", std::move(help), compat::general(field),
          [&field](const std::string& value) {
            field = compat::parse_real(value);
            if (field < 0 || field > 1)
              throw compat::UsageError(value + ", expected a probability");
          }};
}

/// Flags that stand for the architecture's value when they are not given.
inline compat::Flag flag_real(std::string names, std::string value_name,
                              std::optional<double>& field, std::string help,
                              std::string default_text = "the architecture's") {
  return {std::move(names), std::move(value_name), std::move(help), std::move(default_text),
          [&field](const std::string& value) { field = compat::parse_real(value); }};
}
inline compat::Flag flag_integer(std::string names, std::optional<std::int64_t>& field,
                                 std::string help,
                                 std::string default_text = "the architecture's") {
  return {std::move(names), "N", std::move(help), std::move(default_text),
          [&field](const std::string& value) { field = compat::parse_integer(value); }};
}

inline compat::Flag flag_probability(std::string names, std::optional<double>& field,
                                     std::string help) {
  return {std::move(names), "P", std::move(help), "the architecture's",
          [&field](const std::string& value) {
            double number = 0;
            flag_probability("", number, "").apply(value);
            field = number;
          }};
}
inline compat::Flag flag_given(std::string names, std::string value_name,
                               std::optional<std::string>& field, std::string help) {
  return {std::move(names), std::move(value_name), std::move(help), "the architecture's",
          [&field](const std::string& value) { field = value; }};
}

/// "0.1,0.2", "[0.1, 0.2]" or "0.1", as fairseq's eval_str_list reads them.
template <class T>
compat::Flag flag_list(std::string names, std::string value_name, std::vector<T>& field,
                       std::string help) {
  std::string shown =
      compat::join(field, ",", [](T value) { return compat::general(static_cast<double>(value)); });
  return {std::move(names), std::move(value_name), std::move(help), std::move(shown),
          [&field](const std::string& text) {
            const auto refuse = [&text] {
              throw compat::UsageError("'" + compat::printable(text) +
                                       (std::is_floating_point_v<T>
                                            ? "', expected a number or a list of numbers"
                                            : "', expected an integer or a list of integers"));
            };
            const bool bracketed = !text.empty() && (text.front() == '[' || text.front() == '(');
            compat::ConfigValue value;
            try {
              value = compat::parse_python_literal(bracketed ? text : "[" + text + "]");
            } catch (const compat::UsageError&) {
              refuse();
            }
            const auto* list = std::get_if<compat::ConfigValue::List>(&value.value);
            std::vector<T> numbers;
            for (const compat::ConfigValue& item :
                 list != nullptr ? *list : compat::ConfigValue::List{value}) {
              if (const auto* integer = std::get_if<std::int64_t>(&item.value))
                numbers.push_back(static_cast<T>(*integer));
              else if (const auto* real = std::get_if<double>(&item.value);
                       std::is_floating_point_v<T> && real != nullptr && std::isfinite(*real))
                numbers.push_back(static_cast<T>(*real));
              else
                refuse();
            }
            field = std::move(numbers);
          }};
}

}  // namespace btm
