// Reads any text as a Python literal. It is refused with a column, or its repr has the same value.
#include "compat/fairseq/config.h"
#include "tests/support/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  compat::ConfigValue value;
  try {
    value = compat::parse_python_literal(btm_test::as_text(data, size));
  } catch (const compat::UsageError&) {
    return 0;
  }
  // In a list, so that a string is quoted too.
  const std::string text = compat::ConfigValue{compat::ConfigValue::List{value}}.to_text();
  if (compat::first_invalid_utf8(text) != std::string::npos ||
      text.find("inf") != std::string::npos)
    return 0;  // not a Python literal
  compat::ConfigValue again;
  try {
    again = compat::parse_python_literal(text);
  } catch (const compat::UsageError& error) {
    btm_test::require(false, error.what());
  }
  if (compat::first_invalid_utf8(btm_test::as_text(data, size)) == std::string::npos)
    btm_test::require(again.to_text() == text, "a literal's repr means something else");
  return 0;
}
