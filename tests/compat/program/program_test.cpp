#include "compat/program/program.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <iostream>
#include <new>
#include <stdexcept>

#include "compat/base/error.h"
#include "compat/base/version.h"

namespace compat {
namespace {

int succeed(std::span<const std::string> args) {
  std::cout << "ran with " << args.size();
  return 0;
}
int misuse(std::span<const std::string>) { throw UsageError("--x is missing"); }
int hit_a_bad_file(std::span<const std::string>) {
  throw FormatError({"f\x1b", {}, 3}, "is no file\nof ours");
}
int run_out_of_memory(std::span<const std::string>) { throw std::bad_alloc(); }
int meet_a_folder(std::span<const std::string>) {
  return static_cast<int>(std::filesystem::file_size("/no/such\x1b/file"));
}
int go_wrong(std::span<const std::string>) { throw std::out_of_range("vector"); }
int talk_long(std::span<const std::string>) { throw std::runtime_error("first\nsecond\nthird"); }
int end_with_3(std::span<const std::string>) { return 3; }
int lose_output(std::span<const std::string>) {
  std::cout.setstate(std::ios::badbit);
  return 0;
}

int count(std::span<const std::string> args) { return 10 + static_cast<int>(args.size()); }

constexpr std::array kGroup{Command{"first", "does one thing", count},
                            Command{"other", "another", misuse}, Command{"third", "", count}};

constexpr std::array kCommands{
    Command{"succeed", "does it", succeed},
    Command{"misuse", "", misuse},
    Command{"bad-file", "", hit_a_bad_file},
    Command{"memory", "", run_out_of_memory},
    Command{"folder", "", meet_a_folder},
    Command{"wrong", "", go_wrong},
    Command{"long", "", talk_long},
    Command{"three", "", end_with_3},
    Command{"lost", "", lose_output},
    Command{
        .name = "group", .summary = "several", .subcommands = kGroup, .about = "Does several."}};
constexpr std::array<std::string_view, 2> kSisters{"inspect", "preprocess"};

/// What a process of the program would end with and print.
struct Ended {
  int status = -1;
  std::string out, err;
};

Ended run(std::vector<std::string> args) {
  args.insert(args.begin(), "prog");
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ended ended;
  ended.status = run_program({"prog", "Does things.", kCommands, {"sister", kSisters}},
                             static_cast<int>(argv.size()), argv.data());
  std::cout.clear();
  ended.out = testing::internal::GetCapturedStdout();
  ended.err = testing::internal::GetCapturedStderr();
  return ended;
}

TEST(RunProgram, EndsWithAStatusAndOneLineForEachError) {
  struct Row {
    std::string command;
    int status;
    std::string err;
  };
  const std::vector<Row> rows{
      {"succeed", 0, ""},
      {"three", 3, ""},
      {"misuse", 2, "prog misuse: error: --x is missing\n"},
      {"bad-file", 1, "prog bad-file: error: f\\x1b+0x3: is no file\\x0aof ours\n"},
      {"memory", 1, "prog memory: error: out of memory\n"},
      {"folder", 1,
       "prog folder: error: /no/such\\x1b/file: cannot get file size: No such file or directory\n"},
      {"wrong", 1, "prog wrong: error: internal error: vector\n"},
      {"long", 1, "prog long: error: first\n"},
      {"lost", 1, "prog lost: error: standard output: cannot write\n"},
  };
  for (const Row& row : rows) {
    const Ended ended = run({row.command, "a", "b"});
    EXPECT_EQ(ended.status, row.status) << row.command;
    EXPECT_EQ(ended.err, row.err);
  }
  EXPECT_EQ(run({"succeed", "a", "b"}).out, "ran with 2");
}

TEST(RunProgram, PointsToWhatWasMeant) {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"sukceed", "unknown command 'sukceed', did you mean succeed?"},
      {"inspect", "unknown command 'inspect', it is a command of sister: sister inspect"},
      {"inspekt", "unknown command 'inspekt', did you mean sister inspect?"},
      {"zzzzzzzzzz", "unknown command 'zzzzzzzzzz' (see --help)"},
      {"", "unknown command ''"},
      {"--verbose", "unknown command '--verbose'"},
      {"\x1b[2J", "unknown command '\\x1b[2J'"},
  };
  for (const auto& [command, message] : rows) {
    const Ended ended = run({command});
    EXPECT_EQ(ended.status, 2) << command;
    EXPECT_TRUE(ended.err.starts_with("prog: error: " + message)) << ended.err;
    EXPECT_EQ(ended.out, "");
  }
}

TEST(RunProgram, PrintsHelpAndItsVersion) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{}, {"--help"}, {"-h"}, {"help"}}) {
    const Ended ended = run(args);
    EXPECT_EQ(ended.status, 0);
    EXPECT_NE(ended.out.find("usage: prog COMMAND ...\n\nDoes things.\n"), std::string::npos);
    EXPECT_NE(ended.out.find("\n  succeed       does it\n"), std::string::npos);
    EXPECT_NE(ended.out.find("The program sister has these commands: inspect, preprocess."),
              std::string::npos);
  }
  EXPECT_EQ(run({"--version"}).out, "prog " + std::string(program_version()) + "\n");
  EXPECT_EQ(run({"help", "succeed"}).out, "ran with 1");  // as `succeed --help`
}

TEST(RunProgram, RunsAGroupsCommandsUnderTheirFullNames) {
  EXPECT_EQ(run({"group", "first", "other", "--help"}).status, 12);
  EXPECT_EQ(run({"group", "other"}).err, "prog group other: error: --x is missing\n");
  EXPECT_EQ(run({"group", "fist"}).err,
            "prog group: error: unknown command 'fist', did you mean first?\n");
  const Ended unknown = run({"group", "zzzzzzzz\x1b"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_EQ(unknown.err,
            "prog group: error: unknown command 'zzzzzzzz\\x1b', expected one of first, other, "
            "third\n");
  EXPECT_EQ(run({"help", "group", "third"}).status, 11);  // as `group third --help`
  EXPECT_EQ(run({"group", "help", "third"}).status, 11);
}

TEST(RunProgram, PrintsAGroupAsItPrintsAProgram) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"group"}, {"group", "--help"}, {"help", "group"}}) {
    const Ended ended = run(args);
    EXPECT_EQ(ended.status, 0);
    EXPECT_EQ(ended.out,
              "usage: prog group COMMAND ...\n\nDoes several.\n\n  first         does one "
              "thing\n  other         another\n  third         \n\n"
              "'prog group COMMAND --help' lists the flags of a command.\n");
  }
}

}  // namespace
}  // namespace compat
