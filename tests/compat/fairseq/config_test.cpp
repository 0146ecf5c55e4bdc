#include "compat/fairseq/config.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/torch/unpickler.h"
#include "tests/support/bytes.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

using btm_test::expect_error;

/// The configuration of a pickled cfg.
Config from_pickle(const std::string& bytes, bool is_args = false) {
  ByteReader in(as_byte_span(bytes), {"p", {}, 0});
  const auto tree = unpickle(in);
  return Config::from_checkpoint(is_args ? nullptr : tree.root, is_args ? tree.root : nullptr,
                                 "c.pt");
}

std::string text(const std::string& value) { return "S'" + value + "'\n"; }
/// omegaconf's classes in the form of their pickles: an object with a dict as state.
std::string omega(const std::string& type, const std::string& member, const std::string& value) {
  return "comegaconf." + type + "\n)\x81}S'" + member + "'\n" + value + "sb";
}
std::string any_node(const std::string& value) { return omega("nodes\nAnyNode", "_val", value); }
std::string dict_config(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string dict = "}(";
  for (const auto& [key, value] : items) dict += text(key) + value;
  return omega("dictconfig\nDictConfig", "_content", dict + "u");
}
std::string list_config(const std::vector<std::string>& items) {
  std::string list = "](";
  for (const auto& item : items) list += item;
  return omega("listconfig\nListConfig", "_content", list + "e");
}
std::string sections(const std::string& a, const std::string& b) {
  return dict_config({{"a", a}, {"b", b}}) + ".";
}

TEST(Config, ReadsAPlainDict) {
  const Config config = from_pickle(
      "}S'model'\n}(S'layers'\nI2\nS'lr'\nF0.5\nS'tied'\nI01\nS'name'\nS'x'\nS'none'\nNus.");
  EXPECT_FALSE(config.is_flat());
  EXPECT_EQ(config.get_int("model", "layers", 0), 2);
  EXPECT_EQ(config.get_float("model", "layers", 0), 2.0);
  EXPECT_EQ(config.get_float("model", "lr", 0), 0.5);
  EXPECT_TRUE(config.get_bool("model", "tied", false));
  EXPECT_EQ(config.get_string("model", "name", ""), "x");
  EXPECT_EQ(config.get_int("model", "none", 7), 7);
  EXPECT_EQ(config.get_int("other", "layers", 7), 7);
}

TEST(Config, ReadsANamespaceWithoutSections) {
  const Config config = from_pickle("cargparse\nNamespace\n)\x81}S'arch'\nS'x'\nsb.", true);
  EXPECT_TRUE(config.is_flat());
  EXPECT_EQ(config.get_string("model", "arch", ""), "x");
}

TEST(Config, TakesOffOmegaconfsWrappers) {
  const Config config =
      from_pickle(sections(dict_config({{"n", any_node("I5\n")},
                                        {"l", list_config({any_node("I1\n"), "I2\n"})},
                                        {"m", any_node(text("???"))}}),
                           "N"));
  EXPECT_EQ(config.root().to_text(), "{'a': {'n': 5, 'l': [1, 2]}, 'b': None}");
}

TEST(Config, ResolvesInterpolations) {
  const Config config =
      from_pickle(sections(dict_config({{"x", any_node("I1\n")},
                                        {"absolute", any_node(text("${b.q.1}"))},
                                        {"sibling", any_node(text("${.x}"))},
                                        {"up", any_node(text("${..b.name}"))},
                                        {"inside", any_node(text("v-${a.x}-${.sibling}"))},
                                        {"env", any_node(text("${env:HOME}"))},
                                        {"chain", any_node(text("${.absolute}"))}}),
                           dict_config({{"q", list_config({any_node("I1\n"), any_node("I9\n")})},
                                        {"name", any_node(text("n"))}})));
  EXPECT_EQ(config.get_int("a", "absolute", 0), 9);
  EXPECT_EQ(config.get_int("a", "sibling", 0), 1);
  EXPECT_EQ(config.get_string("a", "up", ""), "n");
  EXPECT_EQ(config.get_string("a", "inside", ""), "v-1-1");
  EXPECT_EQ(config.get_string("a", "env", ""), "${env:HOME}");  // resolvers are not run
  EXPECT_EQ(config.get_int("a", "chain", 0), 9);
}

TEST(Config, LeavesInterpolationsOfAPlainDict) {
  EXPECT_EQ(from_pickle("}S'a'\n}S'x'\nS'${b}'\nss.").get_string("a", "x", ""), "${b}");
}

TEST(Config, ReadsEnumsAndPaths) {
  const Config config = from_pickle(
      "}S'a'\n}(S'e'\ncfairseq.dataclass.constants\nX\n(S'v'\ntRS'p'\ncpathlib\nPosixPath\n(S'/"
      "'\nS'a'\nS'b'\ntRS'o'\ncm\nC\n)Rus.");
  EXPECT_EQ(config.get_string("a", "e", ""), "v");
  EXPECT_EQ(config.get_string("a", "p", ""), "/a/b");
  EXPECT_EQ(config.get_string("a", "o", ""), "<m.C>");
}

TEST(Config, RefusesWhatIsNoConfiguration) {
  std::string deep = "N";
  for (int i = 0; i < 40; ++i) deep = "(" + deep + "l";
  std::string many = "}S'a'\n(N";
  for (int i = 0; i < 100'001; ++i) many += "N";
  std::string long_text =
      "}S'a'\n(X" + btm_test::le<std::uint32_t>(1 << 20) + std::string(1 << 20, 'x') + "q\x01";
  for (int i = 0; i < 20; ++i) long_text += "h\x01";
  std::string grows =
      dict_config({{"x0", any_node(text(std::string(1000, 'x')))},
                   {"x1", any_node(text("${x0}${x0}${x0}${x0}${x0}${x0}${x0}${x0}"))},
                   {"x2", any_node(text("${x1}${x1}${x1}${x1}${x1}${x1}${x1}${x1}"))},
                   {"x3", any_node(text("${x2}${x2}${x2}${x2}"))}}) +
      ".";
  const std::vector<std::pair<std::string, std::string>> rows{
      {"I1\n.", "c.pt[cfg]: is the int 1, expected a dict, a DictConfig or a Namespace"},
      {"N.", "c.pt: holds neither cfg nor args"},
      {"}NNs.", "c.pt[cfg]: has the key None, expected a string"},
      {"}S'a'\n" + deep + "s.", "nests deeper than 32"},
      {"}p1\nS'a'\ng1\ns.", "nests deeper than 32"},  // a dict that contains itself
      {many + "ls.", "more than 100000 values"},
      {long_text + "ls.", "more than 16 MiB of text"},
      {dict_config({{"a", any_node(text("${b}"))}, {"b", any_node(text("${a}"))}}) + ".",
       "an interpolation refers to itself"},
      {dict_config({{"a", dict_config({{"x", any_node(text("${a}"))}})}}) + ".",
       "an interpolation refers to itself"},
      {dict_config({{"a", any_node(text("${none.x}"))}}) + ".",
       "c.pt[a]: '${none.x}' refers to nothing in the configuration"},
      {dict_config({{"a", any_node(text("${.....x}"))}}) + ".", "refers to nothing"},
      {grows, "interpolations make a text without end"},
      {omega("dictconfig\nDictConfig", "other", "N") + ".",
       "an omegaconf.dictconfig.DictConfig without content"},
  };
  for (const auto& [bytes, phrase] : rows) {
    SCOPED_TRACE(phrase);
    expect_error<FormatError>([&bytes = bytes] { from_pickle(bytes); }, phrase);
  }
}

TEST(Config, NamesTheKeyOfAWrongType) {
  const Config config = from_pickle("}S'm'\n}(S's'\nS'x'\nS'n'\nI2\nS'f'\nF0.5\nus.");
  expect_error<FormatError>([&] { config.get_int("m", "s", 0); },
                            "c.pt[cfg.m.s]: is x, expected an int");
  expect_error<FormatError>([&] { config.get_int("m", "f", 0); },
                            "c.pt[cfg.m.f]: is 0.5, expected an int");
  expect_error<FormatError>([&] { config.get_float("m", "s", 0); }, "expected a number");
  expect_error<FormatError>([&] { config.get_bool("m", "n", false); },
                            "is 2, expected True or False");
  expect_error<FormatError>([&] { config.get_string("m", "n", ""); }, "is 2, expected a string");
}

TEST(Config, TakesOverridesAsFairseq) {
  const auto overridden = [](const char* cfg, const char* overrides) {
    Config config(parse_python_literal(cfg));
    config.override_with(parse_python_literal(overrides));
    return config.root().to_text();
  };
  EXPECT_EQ(overridden("{'a': {'x': 1, 'y': 2}, 'b': {'x': 3}}", "{'x': 9}"),
            "{'a': {'x': 9, 'y': 2}, 'b': {'x': 9}}");
  EXPECT_EQ(overridden("{'a': {'x': 1}, 'b': {'x': 3}}", "{'a': {'x': 9, 'z': 0}}"),
            "{'a': {'x': 9, 'z': 0}, 'b': {'x': 3}}");
  EXPECT_EQ(overridden("{'a': {'x': 1}}", "{'nothing': 9}"), "{'a': {'x': 1}}");
  Config config(parse_python_literal("{}"));
  expect_error<UsageError>([&] { config.override_with(parse_python_literal("[1]")); },
                           "'[1]', expected a dict");
}

}  // namespace
}  // namespace compat
