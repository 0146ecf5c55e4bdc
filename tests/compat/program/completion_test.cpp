#include "compat/program/completion.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "compat/program/manual.h"
#include "tests/support/expect_error.h"

namespace compat {
namespace {

struct Show {
  std::string path, format = "json";
  std::int64_t count = 1;

  CommandSpec spec() {
    return {"prog show",
            "Shows it. 'Quoted' [and] a\\b: c.",
            {{"PATH", ".hidden", &path}},
            {{"Output",
              {flag_choice("format,f", format, {"json", "text"}, "it's [a] format: x"),
               flag_integer("count", "N", count, "how many")}}},
            {}};
  }
  int run() { return 0; }
};

constexpr std::array kInner{command_of<Show>("show", "show 'it'")};
constexpr std::array kCommands{
    command_of<Show>("show", "show it"),
    Command{.name = "group", .summary = "several", .subcommands = kInner, .about = "Does."}};
const Program kProgram{"prog", "Does things. And more.", kCommands, {"sister", {}}};

void expect_phrases(const std::string& text, const std::vector<std::string>& phrases) {
  for (const std::string& phrase : phrases)
    EXPECT_NE(text.find(phrase), std::string::npos) << phrase << " is not in\n" << text;
}

TEST(Completion, KnowsCommandsFlagsAndChoicesInBash) {
  expect_phrases(completion(kProgram, "bash"),
                 {"'show' | 'group' | 'group show') path=$next",
                  "'group') words='show help --help'", "'show') words='--help --format -f --count'",
                  "'group show --format' | 'group show -f') values='json text'",
                  "complete -o bashdefault -o default -F _prog prog\n"});
}

TEST(Completion, EscapesTextsInZsh) {
  expect_phrases(completion(kProgram, "zsh"),
                 {"#compdef prog\n", "_prog_group_show() {",
                  R"('*--format=[it'\''s \[a\] format\: x]:{json,text}:(json text)')", "'*-f+[",
                  "'*--count=[how many]:N: '", R"('show:show '\''it'\''')"});
}

TEST(Completion, EscapesTextsInFish) {
  expect_phrases(completion(kProgram, "fish"),
                 {"complete -c prog -n '__fish_prog_at group show' -l format -s f -x -a 'json "
                  "text' -d 'it\\'s [a] format: x'",
                  "-l count -x -d 'how many'"});
}

TEST(Completion, RefusesOtherShells) {
  btm_test::expect_error<UsageError>([] { completion(kProgram, "tcsh\x1b"); },
                                     "'tcsh\\x1b', expected one of bash, zsh, fish");
}

TEST(ManualPages, AreOneForTheProgramEachGroupAndEachCommand) {
  std::vector<std::string> names;
  for (const auto& [name, page] : manual_pages(kProgram)) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"prog.1", "prog-show.1", "prog-group.1",
                                             "prog-group-show.1"}));
}

TEST(ManualPages, AreEscaped) {
  const auto pages = manual_pages(kProgram);
  expect_phrases(
      pages[1].second,
      {".TH PROG\\-SHOW 1 \"", "prog\\-show \\- show it\n", ".B prog show\nPATH [flags]\n",
       "Shows it. \\(aqQuoted\\(aq [and] a\\eb: c.\n", ".B PATH\n\\&.hidden\n",
       ".SS Output\n.TP\n.B \\-\\-format, \\-f {json,\\:text}\n"
       "it\\(aqs [a] format: x (default: json)\n"});
  expect_phrases(pages[0].second,
                 {"prog \\- Does things\n", ".BR sister (1),\n", ".BR prog\\-group (1)\n"});
}

}  // namespace
}  // namespace compat
