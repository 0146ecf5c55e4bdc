#include "btm/cli/train_flags.h"

#include <gtest/gtest.h>

#include <set>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/flag_table.h"

namespace btm {
namespace {

using btm_test::dashed;
using btm_test::expect_error;
using btm_test::names_of;

/// The options after a command line, and what --help then shows as their defaults.
struct Trained {
  TrainOptions options;
  DistributedOptions distributed;
  std::vector<std::string> ignored;

  explicit Trained(std::vector<std::string> flags) {
    flags.insert(flags.begin(), "DATA");
    ignored = btm_test::parsed(spec(), flags);
  }
  compat::CommandSpec spec() { return train_spec(options, distributed); }
  std::string shown(const std::string& name) {
    return btm_test::shown_default(spec().groups, name);
  }
};

TEST(TrainFlags, HaveFairseqsDefaults) {
  // fairseq-train 0.12.2 --arch transformer_lm --optimizer adam, as its parser gives them; None of
  // a limit is 0 here, and the learning rate's schedule is --lr-scheduler's own.
  const std::vector<std::pair<const char*, const char*>> rows{
      {"task", "language_modeling"},
      {"train-subset", "train"},
      {"valid-subset", "valid"},
      {"sample-break-mode", "none"},
      {"tokens-per-sample", "1024"},
      {"batch-size", "0"},
      {"max-tokens", "0"},
      {"required-batch-size-multiple", "8"},
      {"curriculum", "0"},
      {"data-buffer-size", "10"},
      {"criterion", "cross_entropy"},
      {"adam-betas", "(0.9, 0.999)"},
      {"adam-eps", "1e-08"},
      {"weight-decay", "0"},
      {"clip-norm", "0"},
      {"update-freq", "1"},
      {"lr", "0.25"},
      {"lr-scheduler", "fixed"},
      {"warmup-init-lr", "-1"},
      {"end-learning-rate", "0"},
      {"power", "1"},
      {"lr-shrink", "0.1"},
      {"min-lr", "0"},
      {"t-mult", "1"},
      {"lr-period-updates", "cosine: --max-update, triangular: 5000"},
      {"max-epoch", "0"},
      {"max-update", "0"},
      {"stop-time-hours", "0"},
      {"stop-min-lr", "-1"},
      {"seed", "1"},
      {"save-dir", "checkpoints"},
      {"restore-file", "checkpoint_last.pt"},
      {"finetune-from-model", ""},
      {"optimizer-overrides", "{}"},
      {"save-interval", "1"},
      {"save-interval-updates", "0"},
      {"keep-interval-updates", "-1"},
      {"keep-interval-updates-pattern", "-1"},
      {"keep-last-epochs", "-1"},
      {"keep-best-checkpoints", "-1"},
      {"best-checkpoint-metric", "loss"},
      {"patience", "-1"},
      {"checkpoint-suffix", ""},
      {"validate-interval", "1"},
      {"validate-interval-updates", "0"},
      {"validate-after-updates", "0"},
      {"max-valid-steps", "0"},
      {"fp16-init-scale", "128"},
      {"fp16-scale-tolerance", "0"},
      {"min-loss-scale", "0.0001"},
      {"log-interval", "100"},
      {"bucket-cap-mb", "25"},
      {"activation-dropout", "the architecture's"},
      {"decoder-layerdrop", "0"},
  };
  Trained none({});
  for (const auto& [name, value] : rows) EXPECT_EQ(none.shown(name), value) << name;
}

TEST(TrainFlags, ReachTheirFieldByEachOfTheirNames) {
  for (const compat::FlagGroup& group : Trained({}).spec().groups)
    for (const compat::Flag& flag : group.flags)
      for (const std::string& name : names_of(flag)) {
        SCOPED_TRACE(name);
        std::vector<std::string> args{dashed(name)};
        if (!flag.value_name.empty())
          args.push_back(flag.value_name == "P" ? "0.5" : btm_test::some_value(flag));
        Trained given(args);
        EXPECT_TRUE(given.ignored.empty());
        // Help puts some defaults in words; the others are what the field holds.
        const bool in_words = flag.default_text.find(' ') != std::string::npos ||
                              flag.default_text == "none" || flag.default_text.starts_with("--") ||
                              name == "nprocs-per-node";
        if (flag.value_name.empty() || in_words) continue;
        EXPECT_EQ(given.shown(name), args[1]);
      }
}

TEST(TrainFlags, SetTheFieldsThatHelpPutsInWords) {
  Trained t({"--decoder-layers",
             "3",
             "--dropout",
             "0.25",
             "--batch-size-valid",
             "5",
             "--max-tokens-valid",
             "6",
             "--warmup-updates",
             "8",
             "--dataset-impl",
             "zst",
             "--fp16-scale-window",
             "9",
             "--threshold-loss-scale",
             "0.5",
             "--fixed-validation-seed",
             "4",
             "--max-target-positions",
             "32",
             "--activation-fn",
             "gelu"});
  EXPECT_EQ(t.options.model.decoder_layers, 3);
  EXPECT_EQ(t.options.model.dropout, 0.25);
  EXPECT_EQ(t.options.model.activation_fn, "gelu");
  EXPECT_EQ(t.options.model.max_target_positions, 32);
  EXPECT_EQ(t.options.dataset.batch_size_valid, 5);
  EXPECT_EQ(t.options.dataset.max_tokens_valid, 6);
  EXPECT_EQ(t.options.dataset.fixed_validation_seed, 4);
  EXPECT_EQ(t.options.lr.warmup_updates, 8);
  EXPECT_EQ(t.options.task.dataset_impl, "zst");
  EXPECT_EQ(t.options.common.fp16_scale_window, 9);
  EXPECT_EQ(t.options.common.threshold_loss_scale, 0.5);
  EXPECT_EQ(t.options.task.data, "DATA");
}

TEST(TrainFlags, ReadListsAsEvalStrListDoes) {
  using Rates = std::vector<double>;
  const std::vector<std::pair<const char*, Rates>> rows{
      {"0.1", {0.1}},
      {"0.1,0.2", {0.1, 0.2}},
      {"[0.1, 0.2]", {0.1, 0.2}},
      {"(0.1,)", {0.1}},
      {"(0.1)", {0.1}},
      {"1", {1}},
      {"1e-3,2", {1e-3, 2}},
      {"-1", {-1}},
      {"5e-4,", {5e-4}},
  };
  for (const auto& [text, rates] : rows)
    EXPECT_EQ(Trained({"--lr", text}).options.lr.lr, rates) << text;
  using Counts = std::vector<std::int64_t>;
  EXPECT_EQ(Trained({"--update-freq", "[4,2]"}).options.optimization.update_freq, (Counts{4, 2}));
}

TEST(TrainFlags, RefuseWhatTheyCannotUse) {
  struct Row {
    std::vector<std::string> args;
    const char* phrase;
  };
  const std::vector<Row> rows{
      {{"--lr", "0.1;0.2"}, "flag --lr: "},
      {{"--lr", "fast"}, "flag --lr: 'fast', expected a number or a list of numbers"},
      {{"--update-freq", "1,x"},
       "flag --update-freq: '1,x', expected an integer or a list of integers"},
      {{"--lr", "True"}, "'True', expected a number or a list of numbers"},
      {{"--lr", "0.1,[2]"}, "expected a number or a list of numbers"},
      {{"--lr", "'0.1'"}, "expected a number or a list of numbers"},
      {{"--lr", "nan"}, "flag --lr: "},
      {{"--lr", "1e999"}, "'1e999', expected a number or a list of numbers"},
      {{"--lr", "0.1,-1e999"}, "expected a number or a list of numbers"},
      {{"--update-freq", "1.5"}, "'1.5', expected an integer or a list of integers"},
      {{"--update-freq", "99999999999999999999"}, "expected an integer or a list of integers"},
      {{"--clip-norm", "inf"}, "flag --clip-norm: 'inf', expected a number"},
      {{"--clip-norm", "nan"}, "flag --clip-norm: 'nan', expected a number"},
      {{"--clip-norm", "1e999"}, "expected a number"},
      {{"--clip-norm", "1,0"}, "flag --clip-norm: '1,0', expected a number"},
      {{"--activation-dropout", "1.5"}, "1.5, expected a probability"},
      {{"--activation-dropout", "-0.1"}, "expected a probability"},
      {{"--decoder-layerdrop", "nan"}, "expected a number"},
      {{"--decoder-layers", "2.0"}, "flag --decoder-layers: '2.0', expected an integer"},
      {{"--decoder-layers", ""}, "flag --decoder-layers"},
      {{"--decoder-layers", "0x10"}, "'0x10', expected an integer"},
      {{"--seed", "99999999999999999999"}, "expected an integer"},
      {{"--tokens-per-sample", "0"}, "flag --tokens-per-sample: 0, expected at least 1"},
      {{"--batch-size", "-1"}, "flag --batch-size: -1, expected at least 0"},
      {{"--max-sentences", "-1"}, "expected at least 0"},
      {{"--required-batch-size-multiple", "0"}, "expected at least 1"},
      {{"--log-interval", "0"}, "expected at least 1"},
      {{"--save-interval", "0"}, "expected at least 1"},
      {{"--validate-interval", "0"}, "expected at least 1"},
      {{"--distributed-world-size", "0"}, "expected at least 1"},
      {{"--distributed-rank", "-2"}, "expected at least 0"},
      {{"--bucket-cap-mb", "-1"}, "expected at least 0"},
      {{"--task", "translation"}, "expected one of language_modeling"},
      {{"--criterion", "masked_lm"}, "expected one of cross_entropy"},
      {{"--lr-scheduler", "pass_through"}, "expected one of fixed, polynomial_decay"},
      {{"--log-format", "xml"}, "expected one of json, none, simple, tqdm"},
      {{"--bf16=1"}, "flag --bf16 takes no value"},
      {{"--learning-rat", "1"}, "unknown flag '--learning-rat', did you mean --learning-rate?"},
      {{"--updatefreq", "1"}, "did you mean --update-freq?"},
      {{"--decoder-layer", "1"}, "did you mean --decoder-layers, --decoder-layerdrop, "},
      {{"second"}, "unexpected argument 'second'"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.args[0] + " " + row.args.back());
    expect_error<compat::UsageError>([&] { Trained{row.args}; }, row.phrase);
  }
}

TEST(TrainFlags, NameFairseqsFlagsWithoutEffect) {
  for (const compat::ForeignFlag& flag : Trained({}).spec().foreign) {
    const std::string name = btm_test::names_of({std::string(flag.names), {}, {}, {}, {}})[0];
    SCOPED_TRACE(name);
    std::vector<std::string> args{dashed(name)};
    if (flag.takes_value) args.emplace_back("1");
    if (flag.refused) {
      expect_error<compat::UsageError>([&] { Trained{args}; },
                                       "flag " + dashed(name) + " is not supported");
    } else {
      EXPECT_EQ(Trained(args).ignored, std::vector<std::string>{dashed(name)});
    }
  }
}

TEST(TrainFlags, HaveEachNameOnce) {
  std::multiset<std::string> names;
  const compat::CommandSpec spec = Trained({}).spec();
  for (const compat::FlagGroup& group : spec.groups)
    for (const compat::Flag& flag : group.flags)
      for (std::string& name : names_of(flag)) names.insert(std::move(name));
  for (const compat::ForeignFlag& flag : spec.foreign)
    for (std::string& name : names_of({std::string(flag.names), {}, {}, {}, {}}))
      names.insert(std::move(name));
  for (const std::string& name : names) EXPECT_EQ(names.count(name), 1U) << name;
}

}  // namespace
}  // namespace btm
