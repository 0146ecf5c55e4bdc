#include "btm/run/train_history.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "compat/base/byte_reader.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

/// fairseq prints numbers as strings.
std::optional<double> number(const nlohmann::json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end()) return std::nullopt;
  if (found->is_number()) return found->get<double>();
  if (!found->is_string()) return std::nullopt;
  const auto value = compat::number_of<double>(found->get_ref<const std::string&>());
  return value && std::isfinite(*value) ? value : std::nullopt;
}

}  // namespace

TrainHistory parse_train_log(std::string_view text) {
  std::map<double, double> by_update;
  compat::for_each_line(text, [&](std::string_view line) {
    const std::size_t brace = line.find('{');
    if (brace == std::string_view::npos) return;
    const auto row = compat::parse_json(line.substr(brace));
    if (!row.is_object()) return;
    const auto update = number(row, "num_updates"), loss = number(row, "loss");
    if (update && loss) by_update[*update] = *loss;
  });
  TrainHistory history;
  for (const auto& [update, loss] : by_update) {
    history.updates.push_back(update);
    history.loss.push_back(loss);
  }
  return history;
}

TrainHistory read_train_log(const std::filesystem::path& file) {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(file, missing)) return {};
  return parse_train_log(compat::as_chars(compat::MappedFile::open(file)->bytes()));
}

}  // namespace btm
