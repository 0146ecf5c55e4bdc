#include "compat/fairseq/config_json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "compat/base/error.h"
#include "compat/torch/pickler.h"
#include "compat/torch/unpickler.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;

ConfigValue parsed(std::string_view text) { return config_from_json(text, "f.json"); }

TEST(ConfigJson, ReadsEveryTypeInTheFilesOrder) {
  EXPECT_EQ(parsed(R"({"z": null, "a": true, "m": [1, -2.5, "x"], "e": {}})").to_text(),
            "{'z': None, 'a': True, 'm': [1, -2.5, 'x'], 'e': {}}");
  EXPECT_EQ(parsed("3").to_text(), "3");
  EXPECT_EQ(parsed("[]").to_text(), "[]");
  EXPECT_EQ(parsed("1.0").to_text(), "1.0");  // a float stays one
  EXPECT_EQ(parsed("\"\\u00e9\\n\"").to_text(), "é\n");
}

TEST(ConfigJson, KeepsWholeNumbersOf64Bits) {
  EXPECT_EQ(std::get<std::int64_t>(parsed("9223372036854775807").value), INT64_MAX);
  EXPECT_EQ(std::get<std::int64_t>(parsed("-9223372036854775808").value), INT64_MIN);
  EXPECT_EQ(std::get<double>(parsed("9223372036854775808").value), 0x1p63);  // beyond: a float
}

TEST(ConfigJson, RefusesWhatIsNoConfiguration) {
  const std::string deep = std::string(65, '[') + std::string(65, ']');
  const std::string many = "[" + std::string(200'000, '0') + "]";
  std::string values = "[0";
  for (int i = 0; i < 100'000; ++i) values += ",0";
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "f.json: is not JSON, expected a configuration"},
      {"{", "is not JSON"},
      {"{'a': 1}", "is not JSON"},
      {"{\"a\": 1,}", "is not JSON"},
      {"[1] 2", "is not JSON"},
      {"NaN", "is not JSON"},
      {"\"\xff\"", "is not JSON"},
      {"{\"a\": 1, \"b\": 2, \"a\": 3}", "'a' comes twice"},
      {"{\"c\": {\"\\u001b\": 1, \"\\u001b\": 2}}", "'\\x1b' comes twice"},
      {deep, "expected a configuration"},
      {many, "is not JSON"},  // a number may not begin with 0
      {values + "]", "holds more than 100000 values"},
      {std::string((std::size_t{16} << 20) + 1, ' '), "expected a configuration"},
  };
  for (const auto& [text, phrase] : rows) {
    SCOPED_TRACE(text.substr(0, 40));
    expect_error<FormatError>([&text = text] { parsed(text); }, phrase);
  }
}

TEST(ConfigJson, WritesWhatItReads) {
  const std::string text = R"({"b":[1,2.5,"é\n"],"a":{"n":null,"t":false}})";
  EXPECT_EQ(config_to_json(parsed(text)), text);
}

TEST(ConfigJson, WritesNoNumberThatJsonLacks) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(config_to_json({ConfigValue::List{{inf}, {-inf}, {std::nan("")}}}), "[null,null,null]");
  EXPECT_EQ(config_to_json({std::string("a\xff")}), "\"a\xef\xbf\xbd\"");  // U+FFFD
}

TEST(ConfigJson, BecomesThePicklesOfACheckpoint) {
  PickleArena arena;
  const ConfigValue flat = parsed(R"({"lr": [0.5], "name": "x", "none": null, "on": true})");
  const PickleNode* const args = namespace_to_pickle(arena, flat);
  EXPECT_EQ(Config::from_checkpoint(nullptr, args, "f").root().to_text(), flat.to_text());
  const std::string bytes = pickled(*args);
  EXPECT_NE(bytes.find("cargparse\nNamespace\n"), std::string::npos);
  ByteReader in(as_byte_span(bytes), {"p", {}, 0});
  EXPECT_EQ(Config::from_checkpoint(nullptr, unpickle(in).root, "f").root().to_text(),
            flat.to_text());
  const ConfigValue nested = parsed(R"({"task": {"data": "d"}})");
  EXPECT_EQ(Config::from_checkpoint(config_to_pickle(arena, nested), nullptr, "f")
                .get_string("task", "data", ""),
            "d");
}

}  // namespace
}  // namespace compat
