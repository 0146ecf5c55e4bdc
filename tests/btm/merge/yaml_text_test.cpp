#include "btm/merge/yaml_text.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace {

using btm::parse_yaml;
using btm::YamlValue;
using Kind = YamlValue::Kind;

TEST(YamlText, ReadsListsMapsAndWords) {
  const YamlValue root = parse_yaml(
      "first: [a, 'b c', \"d\\te\"]  # a comment\nsecond:\n  inner: 0.5\n  nothing:\n", "f");
  ASSERT_EQ(root.kind, Kind::kMap);
  ASSERT_EQ(root.entries.size(), 2U);
  const YamlValue& first = *root.find("first");
  ASSERT_EQ(first.items.size(), 3U);
  EXPECT_EQ(first.items[1].word, "b c");
  EXPECT_EQ(first.items[2].word, "d\te");
  const YamlValue& inner = *root.find("second")->find("inner");
  EXPECT_EQ(inner.word, "0.5");
  EXPECT_EQ(inner.line, 3);
  EXPECT_EQ(root.find("second")->find("nothing")->kind, Kind::kNull);
  EXPECT_EQ(root.find("third"), nullptr);
}

TEST(YamlText, TakesNothingAsNothing) {
  EXPECT_EQ(parse_yaml("", "f").kind, Kind::kNull);
  EXPECT_EQ(parse_yaml("# a comment\n", "f").kind, Kind::kNull);
  EXPECT_EQ(parse_yaml("'null'", "f").kind, Kind::kWord);
}

TEST(YamlText, RefusesWhatItDoesNotRead) {
  struct Row {
    std::string text, problem;
  };
  for (const Row& row : {
           Row{"a: &x 1\n", "f: line 1: an anchor ('&'), expected a value without a name"},
           Row{"a: [1]\nb: *a\n", "f: line 2: is not YAML: the referenced anchor is not defined"},
           Row{"a: !!str 1\n", "f: line 1: the tag 'tag:yaml.org,2002:str', expected a value"},
           Row{"a: !mine [1]\n", "f: line 1: the tag '!mine'"},
           Row{"a: 1\nb: 2\na: 3\n", "f: line 3: the key 'a' for the second time"},
           Row{"? [a]\n: 1\n", "f: line 1: a list or map where a key is expected"},
           Row{"~: 1\n", "f: line 1: a key that is empty"},
           Row{"a: 1\n---\nb: 2\n", "f: goes on after the first document, expected one"},
           Row{"a: [1\nb: 2\n", "is not YAML: "},
           Row{"a: b: c\n", "f: line 1: is not YAML: "},
           Row{"\ta: 1\n", "f: line 1: is not YAML: "},
           Row{"{a: 1\n", "or a bracket that is not closed"},
           Row{"[a] b\n", "goes on after the first document"},
           Row{std::string("a: \0", 4), "f: line 1: a control character"},
           Row{"a: 1\nb: \x04\n", "f: line 2: a control character"},
           Row{"a: \xff\n", "f: line 1: a byte that is not UTF-8"},
           Row{"\xff\xfe"
               "a",
               "f: line 1: a byte that is not UTF-8"},
           Row{std::string(17, '[') + std::string(17, ']'),
               "f: line 1: nests deeper than 16 levels"},
           Row{std::string(100'000, '['), "f: is YAML of 100000 bytes, more than 65536 bytes"},
           Row{std::string(30'000, '[') + std::string(30'000, ']'), "nests deeper than 16 levels"},
       })
    btm_test::expect_error<compat::FormatError>([&] { parse_yaml(row.text, "f"); }, row.problem);
}

}  // namespace
