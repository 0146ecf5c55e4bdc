#include "btm/run/generated_texts.h"

#include <gtest/gtest.h>

#include <string>

#include "btm/run/build_steps.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::TempDir;
using btm_test::write_file;

const std::string kTogether =
    R"({"prompt": "A", "experts": ["law", "perl"], "hypotheses": [{"text": "A loop <ends>",)"
    R"( "pieces": ["A", " lo", "op", " <ends>"],)"
    R"( "posterior": [[0.5, 0.5], [0.4, 0.6], [0.1, 0.9], [0.8, 0.2]]}]})"
    "\n";
const std::string kAlone = R"({"prompt": "A", "hypotheses": [{"text": "A TEXT", "pieces": ["A"]}]})"
                           "\n";

TEST(GeneratedTexts, ColourAWordByTheExpertWithTheMostWeight) {
  const TempDir folder;
  write_file(folder / "t.jsonl", kTogether + R"({"text": "bad", "error": "is not UTF-8"})" + "\n");
  const auto texts = read_generated_texts(folder / "t.jsonl");
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_EQ(texts[1].error, "is not UTF-8");
  const auto parts = speaking_experts(texts[0]);
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0].text, "A");
  EXPECT_EQ(parts[0].model, "law");
  EXPECT_EQ(parts[1].text, " loop");
  EXPECT_EQ(parts[1].model, "perl");
  EXPECT_EQ(parts[1].detail, "perl 75%");  // the mean of 0.6 and 0.9
  EXPECT_EQ(parts[2].model, "law");
}

TEST(GeneratedTexts, StandInTheReportWithTheNearestExpert) {
  const TempDir folder;
  std::filesystem::create_directory(folder / "texts");
  write_file(folder / texts_file("ensemble").string(), kTogether);
  write_file(folder / texts_file("seed").string(), kAlone);
  write_file(folder / texts_file("expert.law").string(), kAlone);
  Plan plan;
  plan.experts = {"law", "perl"};
  HtmlPage page("t");
  add_generated_texts(page, plan, folder.path());
  const std::string html = page.html();
  for (const char* phrase : {"seed: A TEXT", "expert law: A TEXT", "title=\"perl 75%\"> loop<",
                             "title=\"law 80%\"> &lt;ends&gt;<", "<svg"})
    EXPECT_NE(html.find(phrase), std::string::npos) << phrase;
}

TEST(GeneratedTexts, NameTheLineThatIsNone) {
  const TempDir folder;
  for (const char* bad :
       {"{}", "[]", "x", R"({"prompt": 1})", R"({"prompt": "A", "hypotheses": []})",
        R"({"prompt": "A", "hypotheses": [{"text": "A"}]})"}) {
    write_file(folder / "t.jsonl", kAlone + bad + "\n");
    expect_error<compat::FormatError>([&] { read_generated_texts(folder / "t.jsonl"); }, "line 2");
  }
  // Weights of another number than experts or tokens are not shown.
  write_file(folder / "t.jsonl",
             R"({"prompt": "A", "experts": ["law"], "hypotheses": [{"text": "A", "pieces": ["A"],)"
             R"( "posterior": [[1, 0]]}]})");
  EXPECT_TRUE(speaking_experts(read_generated_texts(folder / "t.jsonl")[0]).empty());
}

TEST(BuildSteps, AddsTextsWhereThePlanHasPrompts) {
  const std::string text =
      "[data]\ndomains = law, perl\ntext = text/{domain}\n[train]\nupdates = 10\n";
  const StepGraph without = build_steps(parse_plan(text, "/work/my.plan"));
  expect_error<compat::UsageError>([&] { without.at("texts"); }, "texts");
  const StepGraph with =
      build_steps(parse_plan(text + "[generate]\nprompts = p.txt\n", "/work/my.plan"));
  const Step& step = with.at("texts");
  ASSERT_EQ(step.commands.size(), 4U);  // seed, two experts, ensemble
  EXPECT_EQ(step.inputs, (std::vector<std::filesystem::path>{"/work/p.txt"}));
  EXPECT_EQ(step.outputs.size(), 4U);
  EXPECT_EQ(step.commands[3][2],
            "law=experts/law/checkpoint_last.pt:perl=experts/perl/checkpoint_last.pt");
}

}  // namespace
}  // namespace btm
