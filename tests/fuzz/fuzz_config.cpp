// Reads any pickle as a checkpoint: its resolved configuration and its model.
#include "compat/checkpoint/checkpoint.h"
#include "compat/torch/unpickler.h"
#include "tests/support/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = btm_test::as_text(data, size);
  compat::PickleTree tree;
  try {
    compat::ByteReader in(compat::as_byte_span(bytes), {"input", {}, 0});
    tree = compat::unpickle(in);
  } catch (const compat::FormatError&) {
    return 0;
  }
  try {
    auto config =
        compat::Config::from_checkpoint(tree.root->find("cfg"), tree.root->find("args"), "input");
    const auto* sections = std::get_if<compat::ConfigValue::Dict>(&config.root().value);
    btm_test::require(sections != nullptr, "a configuration that is no dict");
    config.root().to_text();
    config.override_with(compat::ConfigValue{compat::ConfigValue::Dict{{"lr", {0.5}}}});
    if (config.find("optimization", "lr") != nullptr)
      btm_test::require(config.get_float("optimization", "lr", 0) == 0.5,
                        "an override that does not hold");
  } catch (const compat::FormatError&) {
  }
  try {
    compat::model_tensors(*tree.root, "input");
  } catch (const compat::FormatError&) {
  }
  return 0;
}
