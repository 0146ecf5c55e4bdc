#include "btm/cli/eval_flags.h"

#include <gtest/gtest.h>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/flag_table.h"

namespace btm {
namespace {

using btm_test::dashed;
using btm_test::expect_error;

/// What a function that makes a group of flags makes them over.
template <class Options>
Options options_of(compat::FlagGroup (*)(Options&));
using DataFields = decltype(options_of(&data_flags));
using MachineFields = decltype(options_of(&machine_flags));

/// The shared flags after a command line, and what --help then shows as their defaults.
struct Evaluated {
  DataFields data;
  MachineFields machine;
  LogOptions log;
  bool skip_diverged = false;
  std::vector<std::string> ignored;

  explicit Evaluated(const std::vector<std::string>& args) {
    ignored = btm_test::parsed(spec(), args);
  }
  compat::CommandSpec spec() {
    return {"p",
            "",
            {},
            {data_flags(data),
             machine_flags(machine),
             log_flags(log),
             {"", {skip_diverged_flag(skip_diverged)}}},
            foreign_eval_flags()};
  }
  std::string shown(const std::string& name) {
    return btm_test::shown_default(spec().groups, name);
  }
};

TEST(EvalFlags, HaveFairseqsDefaults) {
  // fairseq-eval-lm 0.12.2; None of a limit is 0 here, of --max-tokens 36000 (eval_lm.py).
  const std::vector<std::pair<const char*, const char*>> rows{
      {"gen-subset", "test"},
      {"task", "language_modeling"},
      {"sample-break-mode", "none"},
      {"context-window", "0"},
      {"batch-size", "0"},
      {"max-tokens", "36000"},
      {"num-shards", "1"},
      {"shard-id", "0"},
      {"seed", "1"},
      {"log-interval", "100"},
  };
  Evaluated none({});
  for (const auto& [name, value] : rows) EXPECT_EQ(none.shown(name), value) << name;
}

TEST(EvalFlags, ReachTheirFieldByEachOfTheirNames) {
  for (const compat::FlagGroup& group : Evaluated({}).spec().groups)
    for (const compat::Flag& flag : group.flags)
      for (const std::string& name : btm_test::names_of(flag)) {
        SCOPED_TRACE(name);
        std::vector<std::string> args{dashed(name)};
        if (!flag.value_name.empty()) args.push_back(btm_test::some_value(flag));
        Evaluated given(args);
        EXPECT_TRUE(given.ignored.empty());
        const bool in_words = flag.default_text.find(' ') != std::string::npos;
        if (flag.value_name.empty() || in_words) continue;
        EXPECT_EQ(given.shown(name), args[1]);
      }
}

TEST(EvalFlags, RefuseWhatTheyCannotUse) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> rows{
      {{"--tokens-per-sample", "0"}, "0, expected at least 1"},
      {{"--batch-size", "-1"}, "-1, expected at least 0"},
      {{"--max-sentences", "x"}, "'x', expected an integer"},
      {{"--max-tokens", "-1"}, "-1, expected at least 0"},
      {{"--context-window", "-1"}, "-1, expected at least 0"},
      {{"--num-shards", "0"}, "0, expected at least 1"},
      {{"--shard-id", "-1"}, "-1, expected at least 0"},
      {{"--max-samples", "1.5"}, "'1.5', expected an integer"},
      {{"--softmax-batch", "0"}, "0, expected at least 1"},
      {{"--num-threads", "-1"}, "-1, expected at least 0"},
      {{"--log-interval", "0"}, "0, expected at least 1"},
      {{"--task", "translation"}, "expected one of language_modeling"},
      {{"--log-format", "xml"}, "expected one of json, none, simple, tqdm"},
      {{"--fp16=1"}, "takes no value"},
      {{"--gen-subse", "x"}, "did you mean --gen-subset?"},
  };
  for (const auto& [args, phrase] : rows) {
    SCOPED_TRACE(args[0]);
    expect_error<compat::UsageError>([&args = args] { Evaluated{args}; }, phrase);
  }
}

TEST(EvalFlags, NameFairseqsFlagsWithoutEffect) {
  for (const compat::ForeignFlag& flag : foreign_eval_flags()) {
    const std::string name = btm_test::names_of({std::string(flag.names), {}, {}, {}, {}})[0];
    SCOPED_TRACE(name);
    std::vector<std::string> args{dashed(name)};
    if (flag.takes_value) args.emplace_back("1");
    if (flag.refused) {
      expect_error<compat::UsageError>([&] { Evaluated{args}; },
                                       "flag " + dashed(name) + " is not supported");
    } else {
      EXPECT_EQ(Evaluated(args).ignored, std::vector<std::string>{dashed(name)});
    }
  }
}

}  // namespace
}  // namespace btm
