#include "compat/program/flag.h"

#include <algorithm>
#include <cmath>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"

namespace compat {

std::vector<std::string> split_names(std::string_view names) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= names.size();) {
    const std::size_t comma = std::min(names.find(',', from), names.size());
    parts.emplace_back(names.substr(from, comma - from));
    from = comma + 1;
  }
  return parts;
}

std::string dashed(std::string_view name) { return concat(name.size() == 1 ? "-" : "--", name); }

std::int64_t parse_integer(std::string_view text) {
  if (const auto number = number_of<std::int64_t>(text)) return *number;
  throw UsageError(concat("'", printable(text), "', expected an integer"));
}

double parse_real(std::string_view text) {
  const auto number = number_of<double>(text);
  if (!number || !std::isfinite(*number))
    throw UsageError(concat("'", printable(text), "', expected a number"));
  return *number;
}

std::vector<double> parse_reals(std::string_view text) {
  std::vector<double> values;
  for (const std::string& value : split_at(text, ',')) values.push_back(parse_real(value));
  return values;
}

Flag flag_text(std::string names, std::string value_name, std::string& field, std::string help) {
  return {std::move(names), std::move(value_name), std::move(help), field,
          [&field](const std::string& value) { field = value; }};
}

Flag flag_integer(std::string names, std::string value_name, std::int64_t& field, std::string help,
                  std::int64_t lowest, std::string default_text) {
  if (default_text.empty()) default_text = std::to_string(field);
  return {std::move(names), std::move(value_name), std::move(help), std::move(default_text),
          [&field, lowest](const std::string& value) {
            const std::int64_t number = parse_integer(value);
            if (number < lowest) throw UsageError(concat(value, ", expected at least ", lowest));
            field = number;
          }};
}

Flag flag_real(std::string names, std::string value_name, double& field, std::string help,
               double lowest, double highest, std::string default_text) {
  if (default_text.empty()) default_text = general(field);
  return {std::move(names), std::move(value_name), std::move(help), std::move(default_text),
          [&field, lowest, highest](const std::string& value) {
            const auto number = number_of<double>(value);
            if (!number || !(*number >= lowest && *number <= highest))
              throw UsageError(concat("'", printable(value), "', expected a number from ",
                                      general(lowest), " to ", general(highest)));
            field = *number;
          }};
}

Flag flag_texts(std::string names, std::string value_name, std::vector<std::string>& field,
                std::string help) {
  Flag flag{std::move(names), std::move(value_name), std::move(help), "",
            [&field](const std::string& value) { field.push_back(value); }};
  flag.repeated = true;
  return flag;
}

Flag flag_switch(std::string names, bool& field, std::string help) {
  return {
      std::move(names), {}, std::move(help), {}, [&field](const std::string&) { field = true; }};
}

Flag flag_overwrite(bool& field) {
  return flag_switch("overwrite", field, "replace results that are there already");
}

Flag flag_choice(std::string names, std::string& field, std::vector<std::string> choices,
                 std::string help) {
  return {std::move(names), concat('{', join(choices, ","), '}'), std::move(help), field,
          [&field, choices = std::move(choices)](const std::string& value) {
            if (std::ranges::find(choices, value) == choices.end())
              throw UsageError(
                  concat("'", printable(value), "', expected one of ", join(choices, ", ")));
            field = value;
          }};
}

}  // namespace compat
