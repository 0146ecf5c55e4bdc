// Reads any text as YAML, and as mergekit's configuration of a merge.
#include <cmath>

#include "btm/merge/merge_config.h"
#include "btm/merge/yaml_text.h"
#include "compat/base/error.h"
#include "tests/support/fuzz.h"

namespace {

void check_value(const btm::YamlValue& value, std::size_t depth) {
  using Kind = btm::YamlValue::Kind;
  btm_test::require(depth <= btm::YamlLimits().depth, "a value that is too deep");
  btm_test::require(value.line >= 1, "a line before the first");
  btm_test::require(value.items.empty() || value.kind == Kind::kList, "items outside a list");
  btm_test::require(value.entries.empty() || value.kind == Kind::kMap, "entries outside a map");
  for (const btm::YamlValue& item : value.items) check_value(item, depth + 1);
  for (const auto& [key, item] : value.entries) {
    btm_test::require(value.find(key) == &item, "a key that is there twice");
    check_value(item, depth + 1);
  }
}

void check_refusal(const std::string& words) {
  btm_test::require(words.starts_with("input: ") && words.size() < 2000, "a strange refusal");
  btm_test::require(compat::without_controls(words) == words, "a refusal with foreign bytes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = btm_test::as_text(data, size);
  try {
    check_value(btm::parse_yaml(text, "input"), 0);
  } catch (const compat::FormatError& error) {
    check_refusal(error.what());
  }
  try {
    const btm::MergeConfig config = btm::read_merge_config(text, "input");
    btm_test::require(!config.models.empty(), "no models");
    for (const btm::MergeConfig::Model& model : config.models)
      for (const std::string_view name : {"weight", "density", "normalize", "t"})
        for (const double depth : {0.0, 0.3, 1.0}) {
          const auto value = config.of_model(model, name, "decoder.layers.0.fc1.weight", depth);
          btm_test::require(!value || std::isfinite(*value), "a value that is no number");
        }
  } catch (const compat::FormatError& error) {
    check_refusal(error.what());
  }
  return 0;
}
