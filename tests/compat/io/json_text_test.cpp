#include "compat/io/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "compat/fairseq/config_json.h"
#include "tests/support/expect_error.h"

namespace {

using btm_test::expect_error;
using compat::FormatError;
using compat::json_limit_passed;
using compat::parse_json;
using compat::parse_json_object;

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonText, ReadsUpToTheLimits) {
  EXPECT_EQ(parse_json(R"({"a": [1, "x]\"["]})").dump(), R"({"a":[1,"x]\"["]})");
  EXPECT_TRUE(parse_json(nested(512)).is_array());
  EXPECT_TRUE(parse_json(nested(513)).is_discarded());
  EXPECT_TRUE(parse_json("[1").is_discarded());
  // Containers next to each other do not nest.
  std::string flat = "[";
  for (int i = 0; i < 600; ++i) flat += "[],{},";
  EXPECT_TRUE(parse_json(flat + "0]").is_array());
}

TEST(JsonText, NamesTheLimit) {
  EXPECT_EQ(json_limit_passed(nested(512)), "");
  EXPECT_EQ(json_limit_passed(nested(513)), "nests deeper than 512 levels");
  EXPECT_EQ(json_limit_passed("[[1]]", {.depth = 1}), "nests deeper than 1 levels");
  EXPECT_EQ(json_limit_passed("[1, 2]", {.bytes = 5}), "is JSON of 6 bytes, more than 5 bytes");
  EXPECT_EQ(json_limit_passed(R"(["abcd"])", {.string_bytes = 3}),
            "holds a string of more than 3 bytes");
  // Brackets in a string do not open containers, with any escapes, and also in a string without
  // end.
  for (const std::string text : {R"("[[[\"[[[")", R"("[[\\")", R"("[[[)", R"("\)", ""})
    EXPECT_EQ(json_limit_passed(text, {.depth = 0}), "") << text;
  // An extra bracket at the end does not allow deeper nesting.
  EXPECT_EQ(json_limit_passed("]]]" + nested(2), {.depth = 1}), "nests deeper than 1 levels");
}

TEST(JsonText, SaysWhatAFileShouldBe) {
  EXPECT_EQ(parse_json_object("{\"a\": 1}", {"f", {}, {}}, "x").size(), 1U);
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", "f: is not JSON, expected x"},
      {"{", "f: is not JSON, expected x"},
      {"{\"a\": \"\xff\"}", "f: is not JSON, expected x"},
      {"[1]", "f: is not a JSON object, expected x"},
      {std::string(100'000, '['), "f: nests deeper than 512 levels, expected x"}};
  for (const auto& [text, message] : rows)
    expect_error<FormatError>([&] { parse_json_object(text, {"f", {}, {}}, "x"); }, message);
}

TEST(JsonText, SaysWhatAValueIsInstead) {
  const auto json = parse_json(R"({"text": "x", "none": null, "list": [1], "object": {}})");
  const auto problem = [](const std::function<void()>& access) -> std::string {
    try {
      access();
    } catch (const nlohmann::json::exception& error) {
      return compat::json_problem(error);
    }
    return "nothing";
  };
  EXPECT_EQ(problem([&] { json.at("a'\x1b"); }), "has no key 'a\\'\\x1b'");
  EXPECT_EQ(problem([&] { json.at("text").get<int>(); }), "holds string, expected number");
  EXPECT_EQ(problem([&] { json.at("none").get<std::string>(); }), "holds null, expected string");
  EXPECT_EQ(problem([&] { json.at("none").at("x"); }), "holds null, expected an object or array");
  EXPECT_EQ(problem([&] { json.at("list").at(1); }), "holds an array that is too short");
}

TEST(JsonText, ConfigurationsKeepTheirOrderAndRefuseMore) {
  const std::string text =
      R"({"b":[1,2.5,null,true],"a":{"z":"x","y":{}},"big":18446744073709551615})";
  EXPECT_EQ(compat::config_from_json(text, "f").to_text(),
            "{'b': [1, 2.5, None, True], 'a': {'z': 'x', 'y': {}}, 'big': 18446744073709551616.0}");
  const auto refused = [](const std::string& bad, const std::string& message) {
    expect_error<FormatError>([&] { compat::config_from_json(bad, "f"); }, message);
  };
  refused(R"({"a": {"b": 1, "c": 2, "b": 3}})", "f: 'b' comes twice");
  refused(nested(65), "f: nests deeper than 64 levels");
  refused("{\"a\": 1,}", "f: is not JSON");
  std::string many = "{";  // a search over all previous members would take minutes
  for (int i = 0; i < 200'000; ++i) many += "\"" + std::to_string(i) + "\":0,";
  refused(many + "\"a\":0}", "f: holds more than 100000 values");
}

}  // namespace
