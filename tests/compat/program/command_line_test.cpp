#include "compat/program/command_line.h"

#include <gtest/gtest.h>

#include <sstream>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

struct Values {
  std::string data, path = "default";
  std::int64_t batch = 7;
  bool quiet = false;
  std::string format = "json", process;
  std::vector<std::string> ignored;
  std::string help;
  bool ran = false;
};

/// A command with one flag of each kind, after `args` were applied.
Values parse(const std::vector<std::string>& args) {
  static constexpr ForeignFlag kForeign[] = {{"criterion", true, false},
                                             {"no-save", false, false},
                                             {"tpu", false, true},
                                             {"quiet", false, false}};  // which the command has
  Values v;
  Flag process = flag_text("post-process,remove-bpe", "SYMBOL", v.process, "join pieces");
  process.optional_value = true;
  process.implicit_value = "@@ ";
  const CommandSpec spec{
      "prog cmd",
      "Does it.",
      {{"DATA", "the data", &v.data}},
      {{"Group",
        {flag_text("path", "P", v.path, "a path"),
         flag_integer("batch-size,max-sentences,b", "N", v.batch, "size", 0),
         flag_switch("quiet,q", v.quiet, "say less"),
         flag_choice("log-format", v.format, {"json", "none"}, "format"), process}}},
      kForeign};
  std::ostringstream out;
  v.ran = parse_command_line(spec, args, out, v.ignored);
  v.help = out.str();
  return v;
}

TEST(ParseCommandLine, TakesValuesInEitherForm) {
  EXPECT_EQ(parse({"d", "--path", "x"}).path, "x");
  EXPECT_EQ(parse({"--path=x", "d"}).path, "x");
  EXPECT_EQ(parse({"--path=a=b", "d"}).path, "a=b");
  EXPECT_EQ(parse({"-b", "3", "d"}).batch, 3);
  EXPECT_EQ(parse({"-q", "d"}).quiet, true);
  EXPECT_EQ(parse({"d"}).path, "default");
}

TEST(ParseCommandLine, LetsTheLastUseWin) {
  EXPECT_EQ(parse({"d", "--batch-size", "1", "--max-sentences", "2", "--batch-size", "3"}).batch,
            3);
  EXPECT_EQ(parse({"d", "--batch-size", "1", "--max-sentences", "2"}).batch, 2);
}

TEST(ParseCommandLine, TakesAFlagWhoseValueMayBeLeftOut) {
  EXPECT_EQ(parse({"d", "--remove-bpe"}).process, "@@ ");
  EXPECT_EQ(parse({"d", "--remove-bpe", "--quiet"}).process, "@@ ");
  EXPECT_EQ(parse({"d", "--post-process=sentencepiece"}).process, "sentencepiece");
}

TEST(ParseCommandLine, NamesFlagsWithoutEffect) {
  const Values v = parse({"d", "--criterion", "x", "--no-save", "--criterion", "y"});
  EXPECT_EQ(v.ignored, (std::vector<std::string>{"--criterion", "--no-save"}));
}

TEST(ParseCommandLine, PrintsHelpAndDefaults) {
  const Values v = parse({"--help"});
  EXPECT_FALSE(v.ran);
  for (const char* phrase :
       {"usage: prog cmd DATA [flags]", "--batch-size, --max-sentences, -b N", "(default: 7)",
        "{json,none}", "[SYMBOL]", "Accepted without effect:\n  --criterion, --no-save"})
    EXPECT_NE(v.help.find(phrase), std::string::npos) << phrase << " is not in\n" << v.help;
  EXPECT_EQ(v.help.find("--tpu"), std::string::npos);
  EXPECT_EQ(v.help.find("--no-save, --quiet"), std::string::npos) << v.help;
}

TEST(ParseCommandLine, RefusesWithWhatWasExpected) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> rows{
      {{}, "missing DATA (usage: prog cmd DATA [flags]; see --help)"},
      {{"d", "e"}, "unexpected argument 'e'"},
      {{"d", "--bath-size", "1"}, "unknown flag '--bath-size', did you mean --batch-size?"},
      {{"d", "--batch", "1"}, "unknown flag '--batch', did you mean --batch-size?"},
      {{"d", "--p", "1"}, "unknown flag '--p', did you mean --path, --post-process?"},
      {{"d", "--post"}, "unknown flag '--post', did you mean --post-process?"},
      {{"d", "-path", "x"}, "unknown flag '-path', did you mean --path?"},
      {{"d", "--sentences", "1"}, "unknown flag '--sentences', did you mean --max-sentences?"},
      {{"d", "--zzzzzzz"}, "unknown flag '--zzzzzzz' (see --help)"},
      {{"d", "--batch-size"}, "flag --batch-size needs a value"},
      {{"d", "-b"}, "flag -b needs a value"},
      {{"d", "--batch-size", "1x"}, "flag --batch-size: '1x', expected an integer"},
      {{"d", "--batch-size="}, "flag --batch-size needs a value"},
      {{"d", "--batch-size", "-2"}, "flag --batch-size: -2, expected at least 0"},
      {{"d", "--batch-size", "99999999999999999999"}, "expected an integer"},
      {{"d", "--quiet=1"}, "flag --quiet takes no value"},
      {{"d", "--log-format", "x"}, "flag --log-format: 'x', expected one of json, none"},
      {{"d", "--tpu"}, "flag --tpu is not supported"},
      {{"d", "--p\x1b[2J"}, "\\x1b[2J"},
  };
  for (const auto& [args, phrase] : rows) {
    SCOPED_TRACE(phrase);
    btm_test::expect_error<UsageError>([&args = args] { parse(args); }, phrase);
  }
}

TEST(ParseCommandLine, PassesOnWhatFollowsTwoDashes) {
  std::string data;
  std::vector<std::string> rest, ignored;
  std::ostringstream out;
  const CommandSpec spec{"p", "Does.", {{"DATA", "the data", &data}},    {},
                         {},  {},      {"FLAGS", "of q", nullptr, &rest}};
  EXPECT_TRUE(
      parse_command_line(spec, std::vector<std::string>{"d", "--", "--x", "-y"}, out, ignored));
  EXPECT_EQ(data, "d");
  EXPECT_EQ(rest, (std::vector<std::string>{"--x", "-y"}));
  EXPECT_FALSE(parse_command_line(spec, std::vector<std::string>{"-h"}, out, ignored));
  EXPECT_NE(out.str().find("usage: p DATA [flags] [-- FLAGS]\n"), std::string::npos);
}

TEST(CommandLine, TakesOptionalArgumentsAndRepeatedFlags) {
  std::string model;
  std::vector<std::string> texts, stops, ignored;
  const CommandSpec spec{"btm q",
                         "Q.",
                         {{"MODEL", "m", &model}, {"TEXT", "t", nullptr, &texts, true}},
                         {{"Flags", {flag_texts("stop", "TEXT", stops, "ends a text")}}},
                         {}};
  std::ostringstream out;
  const std::vector<std::string> none{"a"};
  ASSERT_TRUE(parse_command_line(spec, none, out, ignored));
  EXPECT_TRUE(texts.empty());
  const std::vector<std::string> all{"--stop", "x", "a", "-", "two words", "--stop=y"};
  ASSERT_TRUE(parse_command_line(spec, all, out, ignored));
  EXPECT_EQ(texts, (std::vector<std::string>{"-", "two words"}));
  EXPECT_EQ(stops, (std::vector<std::string>{"x", "y"}));
  const std::vector<std::string> help{"--help"};
  EXPECT_FALSE(parse_command_line(spec, help, out, ignored));
  EXPECT_NE(out.str().find("usage: btm q MODEL [TEXT...] [flags]"), std::string::npos) << out.str();
}

}  // namespace
}  // namespace compat
