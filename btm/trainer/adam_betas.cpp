#include "btm/trainer/adam_betas.h"

#include "compat/base/error.h"
#include "compat/fairseq/config.h"

namespace btm {

std::pair<double, double> parse_adam_betas(const std::string& text) {
  const compat::ConfigValue betas = compat::parse_python_literal(text);
  const auto* list = std::get_if<compat::ConfigValue::List>(&betas.value);
  const auto number = [&](std::size_t i) {
    const auto& value = (*list)[i].value;
    const auto* real = std::get_if<double>(&value);
    const auto* integer = std::get_if<std::int64_t>(&value);
    return real != nullptr ? *real : integer != nullptr ? static_cast<double>(*integer) : -1;
  };
  const auto fits = [&](std::size_t i) { return number(i) >= 0 && number(i) < 1; };
  if (list == nullptr || list->size() != 2 || !fits(0) || !fits(1))
    throw compat::UsageError("--adam-betas '" + compat::printable(text) +
                             "', expected two numbers of 0 to 1");
  return {number(0), number(1)};
}

}  // namespace btm
