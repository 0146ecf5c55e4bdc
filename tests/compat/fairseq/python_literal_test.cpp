#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/fairseq/config.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

/// The repr of the literal, as CPython's repr(ast.literal_eval(text)) gives it. Tuples are lists
/// here.
std::string repr(std::string_view text) {
  std::string list = ConfigValue{ConfigValue::List{parse_python_literal(text)}}.to_text();
  return list.substr(1, list.size() - 2);
}

TEST(PythonLiteral, ReadsValues) {
  EXPECT_EQ(repr("None"), "None");
  EXPECT_EQ(repr("[True, False]"), "[True, False]");
  EXPECT_EQ(repr(" {'a': 1, \"b\": [0.1, 1e-3], 'c': (1,), 4: {}} "),
            "{'a': 1, 'b': [0.1, 0.001], 'c': [1], '4': {}}");
  EXPECT_EQ(repr("(1)"), "1");
  EXPECT_EQ(repr("()"), "[]");
}

TEST(PythonLiteral, ReadsNumbers) {
  EXPECT_EQ(repr("[0x1F, 1_000, .5, 5., -1e9, +3, -7]"), "[31, 1000, 0.5, 5.0, -1e+09, 3, -7]");
  EXPECT_EQ(std::get<std::int64_t>(parse_python_literal("-9223372036854775807").value), -INT64_MAX);
}

TEST(PythonLiteral, ReadsStrings) {
  EXPECT_EQ(std::get<std::string>(parse_python_literal("'a' \"b\"").value), "ab");
  EXPECT_EQ(
      std::get<std::string>(parse_python_literal(R"('\x41\u20ac\U0001f600\101\n\\\'\q')").value),
      "A€\U0001f600A\n\\'\\q");
  EXPECT_EQ(std::get<std::string>(parse_python_literal(R"('\xe9')").value), "é");
  EXPECT_EQ(std::get<std::string>(parse_python_literal("'a\\\nb'").value), "ab");
}

TEST(PythonLiteral, KeepsTheLastOfEqualKeys) {
  EXPECT_EQ(repr("{'a': 1, 'b': 2, 'a': 3}"), "{'a': 3, 'b': 2}");
}

TEST(PythonLiteral, SaysWhereItStopped) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "column 1: found the end, expected a value"},
      {"{", "column 2: found the end, expected a value"},
      {"{'a' 1}", "column 6: found '1', expected ':'"},
      {"{'a': 1 'b': 2}", "column 9: found '\\'', expected ',' or '}'"},
      {"{[]: 1}", "expected a string as key"},
      {"[1, 2", "column 6: found the end, expected ',' or ']'"},
      {"[1] x", "column 5: found 'x', expected the end"},
      {"'abc", "column 5: found the end, expected a closing '"},
      {"'\\x4'", "expected 2 hexadecimal digits"},
      {"'\\U00110000'", "expected 8 hexadecimal digits"},
      {"Nonesuch", "column 1: found 'N', expected a Python literal"},
      {"__import__('os')", "expected a Python literal"},
      {"1 + 1", "expected the end"},
      {"-", "expected a Python literal"},
      {"0x", "expected a Python literal"},
      {"1e", "expected a Python literal"},
      {"nan", "expected a Python literal"},
      {std::string(70, '['), "column 66: found '[', expected less nesting"},
  };
  for (const auto& [text, phrase] : rows) {
    SCOPED_TRACE(text);
    btm_test::expect_error<UsageError>([&text = text] { parse_python_literal(text); }, phrase);
  }
}

TEST(ConfigValue, QuotesTextAsPython) {
  EXPECT_EQ(repr(R"("it's")"), R"("it's")");
  EXPECT_EQ(repr(R"('both \' "')"), R"('both \' "')");
  EXPECT_EQ(repr(R"('\x00\x85\xa0é\t')"), R"('\x00\x85\xa0é\t')");
}

}  // namespace
}  // namespace compat
