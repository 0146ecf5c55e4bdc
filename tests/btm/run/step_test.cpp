#include "btm/run/step.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace btm {
namespace {

using btm_test::expect_error;

Step step(const std::string& name, std::vector<std::string> after = {},
          CommandLine command = {"true"}) {
  Step made;
  made.name = name;
  made.commands = {std::move(command)};
  made.after = std::move(after);
  return made;
}

std::string no_input(const std::filesystem::path&) { return "digest"; }

TEST(StepGraph, PutsStepsBehindThoseTheyComeAfter) {
  const StepGraph graph({step("c", {"a", "b"}), step("b", {"a"}), step("a")});
  std::vector<std::string> names;
  for (const Step& each : graph.steps()) names.push_back(each.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c"}));
}

TEST(StepGraph, RefusesGraphsThatCannotBeCarriedOut) {
  expect_error<std::logic_error>(
      [] {
        StepGraph({step("a", {"b"}), step("b", {"a"})});
      },
      "comes after itself");
  expect_error<std::logic_error>([] { StepGraph({step("a", {"x"})}); },
                                 "comes after x, which does not exist");
  expect_error<std::logic_error>([] { StepGraph({step("a"), step("a")}); }, "step a is repeated");
}

TEST(StepGraph, SuggestsANameForAMistypedStep) {
  const StepGraph graph({step("expert.perl"), step("dense")});
  expect_error<compat::UsageError>([&] { graph.at("expert.pearl"); },
                                   "no step 'expert.pearl', did you mean expert.perl?");
}

TEST(StepKeys, ChangeWithTheCommandAndEverythingBehindIt) {
  const auto keys = [](const CommandLine& command) {
    return StepGraph({step("a", {}, command), step("b", {"a"}), step("other")}).keys(no_input);
  };
  const auto before = keys({"train", "--lr", "1"}), after = keys({"train", "--lr", "2"});
  EXPECT_NE(before[0], after[0]);
  const auto names = StepGraph({step("a"), step("b", {"a"}), step("other")});
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(before[i] == after[i], names.steps()[i].name == "other") << names.steps()[i].name;
}

TEST(StepKeys, TellArgumentsApart) {
  EXPECT_NE(StepGraph({step("a", {}, {"x", "y z"})}).keys(no_input),
            StepGraph({step("a", {}, {"x y", "z"})}).keys(no_input));
  EXPECT_NE(StepGraph({step("a", {}, {"x", "1:y;"})}).keys(no_input),
            StepGraph({step("a", {}, {"x", "y"})}).keys(no_input));
}

TEST(StepKeys, ChangeWithTheContentOfAnInput) {
  Step reading = step("a");
  reading.inputs = {"text"};
  const StepGraph graph({reading});
  EXPECT_NE(graph.keys([](const auto&) { return "1"; }),
            graph.keys([](const auto&) { return "2"; }));
}

TEST(StepKeys, GoByTheIdentityInPlaceOfNamesAndPaths) {
  Step here = step("expert.law", {}, {"train", "/here/law"}),
       there = step("expert.right", {}, {"train", "/there/right"});
  EXPECT_NE(StepGraph({here}).keys(no_input), StepGraph({there}).keys(no_input));
  here.identity = there.identity = {"expert", "train", "{}"};
  EXPECT_EQ(StepGraph({here}).keys(no_input), StepGraph({there}).keys(no_input));
  there.inputs = {"text"};
  EXPECT_NE(StepGraph({here}).keys(no_input), StepGraph({there}).keys(no_input));
}

TEST(ShellText, IsWhatAShellWouldNeed) {
  EXPECT_EQ(shell_text({"btm", "train", "--adam-betas", "(0.9, 0.95)", "it's", ""}),
            "btm train --adam-betas '(0.9, 0.95)' 'it'\\''s' ''");
}

}  // namespace
}  // namespace btm
