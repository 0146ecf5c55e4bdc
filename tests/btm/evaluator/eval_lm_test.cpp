#include "btm/evaluator/eval_lm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "btm/evaluator/diverged_model.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/evaluator/score_accumulator.h"
#include "compat/base/error.h"
#include "compat/checkpoint/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;

/// The flags of the rows in tests/golden/eval.json.
EvalLmOptions golden_options(const std::string& model, const std::string& data,
                             const std::string& subset) {
  EvalLmOptions options;
  options.path = golden(model).string();
  options.data.folder = golden(data).string();
  options.data.gen_subset = subset;
  options.data.batching.tokens_per_sample = 128;
  options.data.batching.batch_size = 2;
  return options;
}

EvalLmOptions perl_options() {
  return golden_options("checkpoints/elm_perl/checkpoint_last.pt", "data-bin/perl", "test_perl");
}

void apply_flags(const std::vector<std::string>& extra, EvalLmOptions& options) {
  for (std::size_t i = 0; i + 1 < extra.size(); i += 2) {
    const std::string& flag = extra[i];
    if (flag == "--sample-break-mode") {
      options.data.batching.sample_break_mode = extra[i + 1];
      continue;
    }
    const std::int64_t value = std::stoll(extra[i + 1]);
    if (flag == "--context-window")
      options.data.batching.context_window = value;
    else if (flag == "--tokens-per-sample")
      options.data.batching.tokens_per_sample = value;
    else if (flag == "--max-tokens")
      options.data.batching.max_tokens = value;
    else if (flag == "--batch-size")
      options.data.batching.batch_size = value;
    else if (flag == "--softmax-batch")
      options.machine.softmax_batch = value;
    else
      ADD_FAILURE() << "a flag of eval.json that this test does not know: " << flag;
  }
}

TEST(EvalLm, CountsATokenOfProbabilityZero) {
  const compat::Dictionary dictionary = compat::Dictionary::load(golden("nan/data/dict.txt"));
  const EvalLmOptions options;
  std::vector<std::string> warnings;
  EvalLmObserver observer;
  observer.warn = [&](const std::string& line) { warnings.push_back(line); };
  ScoreAccumulator accumulator(options.words, dictionary, observer);
  const Batch batch{.pad = dictionary.pad(),
                    .rows = 1,
                    .columns = 2,
                    .tokens = {2, 4},
                    .targets = {4, 5},
                    .ids = {0},
                    .first_scored = {0},
                    .scored_padding = {},
                    .num_tokens = 2};
  EvalLmReport report;
  accumulator.add(batch, std::vector<float>{-1, -std::numeric_limits<float>::infinity()}, report);
  EXPECT_EQ(report.tokens, 2);
  EXPECT_EQ(report.impossible_tokens, 1);
  EXPECT_TRUE(std::isinf(report.loss_base2) && std::isinf(report.perplexity));
  log_results(report, options.data, observer);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("1 of 2 tokens have probability 0"), std::string::npos) << warnings[0];
}

TEST(EvalLm, HasNoNumberWithoutTokens) {
  EvalLmReport report;
  EXPECT_TRUE(std::isnan(report.perplexity));
  expect_error<compat::IoError>([&] { log_results(report, {}, {}); },
                                "has no target that is not padding");
  EvalLmOptions options;
  options.path = golden("nan/ok.pt").string();
  options.data.folder = golden("nan/data").string();
  options.data.batching.tokens_per_sample = 1024;
  expect_error<compat::IoError>([&] { eval_lm(options); },
                                "nothing to evaluate in split 'test': all of its 1 samples (125 "
                                "tokens) are longer than the 16 positions");
  options.data.batching.tokens_per_sample = 0;  // the model's positions
  EXPECT_EQ(eval_lm(options).tokens, 125);
  options.data.num_shards = 100;
  options.data.shard_id = 99;
  expect_error<compat::IoError>([&] { eval_lm(options); },
                                "--shard-id 99 of --num-shards 100 has no batch");
}

TEST(EvalLm, SaysHowManyTokensAreLeftOut) {
  EvalLmOptions options = golden_options("nan/ok.pt", "nan/data", "test");
  options.data.batching.tokens_per_sample =
      20;  // of 125 tokens: six samples beyond the model's 16 positions, and one of five
  std::vector<std::string> warnings;
  EvalLmObserver observer;
  observer.warn = [&](const std::string& line) { warnings.push_back(line); };
  const EvalLmReport report = eval_lm(options, observer);
  EXPECT_EQ(report.skipped_samples, 6);
  EXPECT_EQ(report.skipped_tokens, 120);
  EXPECT_EQ(report.tokens, 5);
  EXPECT_EQ(std::ranges::count(warnings,
                               "test: 6 of 7 samples (120 of 125 tokens) are left out, longer than "
                               "the 16 positions of the model"),
            1)
      << testing::PrintToString(warnings);
}

TEST(EvalLm, RefusesAModelThatDiverged) {
  EvalLmOptions options = golden_options("nan/nan1.pt", "nan/data", "test");
  options.data.batching.tokens_per_sample = 0;
  expect_error<DivergedModel>(
      [&] { eval_lm(options); },
      "nan1.pt: gives no probability (NaN or infinite) for target 1 of sample ");
}

TEST(EvalLm, GivesFairseqsNumbers) {
  const auto rows = nlohmann::json::parse(btm_test::read_file(golden("eval.json")));
  ASSERT_EQ(rows.size(), 30U);
  for (const auto& row : rows) {
    EvalLmOptions options = golden_options(row["model"], row["data"], row["subset"]);
    apply_flags(row["extra"].get<std::vector<std::string>>(), options);
    const EvalLmReport report = eval_lm(options);
    // fairseq prints four decimals. fp32 sums in another order add about as much again.
    EXPECT_NEAR(report.loss_base2, row["loss_base2"].get<double>(), 2e-4) << row;
    EXPECT_EQ(report.tokens, row["tokens"].get<std::int64_t>()) << row;
  }
}

TEST(EvalLm, DoesNotDependOnTheBatchSize) {
  EvalLmOptions options = perl_options();
  const double alone = eval_lm(options).loss_base2;
  options.data.batching.batch_size = 7;
  // fp32 sums in another order.
  EXPECT_NEAR(eval_lm(options).loss_base2, alone, 1e-5);
}

TEST(EvalLm, AveragesProbabilitiesOfSeveralModels) {
  EvalLmOptions options = perl_options();
  const std::string perl = options.path,
                    fortunes = golden("checkpoints/elm_fortunes/checkpoint_last.pt").string();
  const double alone = eval_lm(options).loss_base2;
  options.path = perl + ":" + perl;
  EXPECT_NEAR(eval_lm(options).loss_base2, alone, 1e-6);  // log(2 p / 2)
  options.path = fortunes;
  const double other = eval_lm(options).loss_base2;
  options.path = perl + ":" + fortunes;
  const double both = eval_lm(options).loss_base2;
  EXPECT_LT(both, (alone + other) / 2);         // log is concave
  EXPECT_GT(both, std::min(alone, other) - 1);  // at least half of the better one's probability
}

TEST(EvalLm, ShardsAddUpToTheWhole) {
  EvalLmOptions options = perl_options();
  const EvalLmReport whole = eval_lm(options);
  double loss = 0;
  std::int64_t tokens = 0;
  options.data.num_shards = 3;
  for (options.data.shard_id = 0; options.data.shard_id < 3; ++options.data.shard_id) {
    const EvalLmReport part = eval_lm(options);
    loss += part.loss_sum;
    tokens += part.tokens;
  }
  EXPECT_EQ(tokens, whole.tokens);
  EXPECT_NEAR(loss, whole.loss_sum, 1e-2);  // of 50,000 nats, fp32
}

TEST(EvalLm, ScoresEveryBlockOfEveryDomainOnce) {
  EvalLmOptions options =
      golden_options("checkpoints/seed/checkpoint_last.pt", "data-bin", "test_fortunes");
  options.data.task = "multidomain_language_modeling";
  options.data.eval_domains = "fortunes";
  EXPECT_EQ(eval_lm(options).tokens, 6988);
  options.data.resample_eval = true;
  EXPECT_EQ(eval_lm(options).tokens, 6936);  // as in the release: golden/ensemble.json
}

TEST(EvalLm, StopsAfterMaxSamplesBatches) {
  EvalLmOptions options = perl_options();
  options.data.batching.max_samples = 3;
  EXPECT_EQ(eval_lm(options).batches,
            4);  // fairseq's loop ends after the batch of that number, counted from 0
}

TEST(EvalLm, MultipliesInBf16OnACpu) {
  EvalLmOptions options = perl_options();
  options.machine.cpu = true;
  const double full = eval_lm(options).loss_base2;
  options.machine.bf16 = true;
  // factors of 8 bits: 0.01 of a loss in base 2; two of them together have 16
  EXPECT_NEAR(eval_lm(options).loss_base2, full, 0.01);
  EXPECT_NE(eval_lm(options).loss_base2, full);
  options.machine.bf16 = false;
  options.machine.fp32_matmul = "bf16x3";
  EXPECT_NEAR(eval_lm(options).loss_base2, full, 2e-4);
}

TEST(EvalLm, RoundsWeightsToHalfPrecisionOnACpu) {
  EvalLmOptions options = perl_options();
  const double full = eval_lm(options).loss_base2;
  options.machine.fp16 = true;
  EXPECT_NEAR(eval_lm(options).loss_base2, full, 5e-3);
  EXPECT_NE(eval_lm(options).loss_base2, full);
}

TEST(EvalLm, OverridesTheModelsConfiguration) {
  EvalLmOptions options = perl_options();
  const double plain = eval_lm(options).loss_base2;
  options.model_overrides = "{'no_scale_embedding': True}";
  EXPECT_GT(std::abs(eval_lm(options).loss_base2 - plain), 0.01);
}

TEST(EvalLm, PrintsFairseqsClosingLines) {
  std::vector<std::string> lines;
  EvalLmObserver observer;
  observer.log = [&](const std::string& line) { lines.push_back(line); };
  eval_lm(perl_options(), observer);
  ASSERT_GE(lines.size(), 2U);
  EXPECT_EQ(lines.back().rfind("Loss (base 2): 8.892", 0), 0U) << lines.back();
  EXPECT_EQ(lines[lines.size() - 2].rfind("Evaluated 8,264 tokens in ", 0), 0U)
      << lines[lines.size() - 2];
}

TEST(EvalLm, GathersWords) {
  EvalLmOptions options = perl_options();
  options.words.output_word_stats = true;
  const EvalLmReport report = eval_lm(options);
  std::int64_t count = 0;
  double log_prob = 0;
  for (const WordStat& stat : report.word_stats) {
    count += stat.count;
    log_prob += stat.log_prob;
  }
  EXPECT_EQ(count, report.tokens);
  EXPECT_NEAR(-log_prob, report.loss_sum, 1e-6 * report.loss_sum);
}

TEST(EvalLm, RefusesWhatDoesNotFit) {
  struct Row {
    const char* phrase;
    void (*change)(EvalLmOptions&);
  };
  const Row rows[] = {
      {"--path is missing", [](EvalLmOptions& o) { o.path.clear(); }},
      {"--task 'translation' is not supported",
       [](EvalLmOptions& o) { o.data.task = "translation"; }},
      {"need --task multidomain", [](EvalLmOptions& o) { o.data.eval_domains = "perl"; }},
      {"--num-shards 0", [](EvalLmOptions& o) { o.data.num_shards = 0; }},
      {"--shard-id 2, expected 0 to 1",
       [](EvalLmOptions& o) { o.data.num_shards = 2, o.data.shard_id = 2; }},
      {"--context-window 128", [](EvalLmOptions& o) { o.data.batching.context_window = 128; }},
      {"exclude each other", [](EvalLmOptions& o) { o.machine.fp16 = o.machine.bf16 = true; }},
      {"it excludes --fp16 and --bf16",
       [](EvalLmOptions& o) {
         o.machine.bf16 = true;
         o.machine.fp32_matmul = "bf16x3";
       }},
      {"expected none, eos", [](EvalLmOptions& o) { o.data.batching.sample_break_mode = "all"; }},
      {"", [](EvalLmOptions& o) { o.model_overrides = "__import__('os').system('id')"; }},
  };
  for (const Row& row : rows) {
    EvalLmOptions options = perl_options();
    row.change(options);
    expect_error<compat::UsageError>([&] { eval_lm(options); }, row.phrase);
  }
}

TEST(EvalLm, RefusesTwoPrecisionsBeforeItOpensAModel) {
  EvalLmOptions options = perl_options();
  options.path = "/nowhere/model.pt";
  options.machine.fp16 = options.machine.bf16 = true;
  EvalLmObserver observer;
  observer.log = [](const std::string& line) { ADD_FAILURE() << line; };
  expect_error<compat::UsageError>([&] { eval_lm(options, observer); }, "exclude each other");
}

TEST(PrecisionName, SaysWhatProductsAreRoundedTo) {
  MachineOptions machine;
  machine.cpu = true;
  EXPECT_EQ(precision_name(machine), "fp32");
  machine.fp32_matmul = "bf16x3";
  EXPECT_EQ(precision_name(machine), "fp32 with products in bf16x3");
  machine.fp32_matmul = "fp32";
  machine.bf16 = true;
  EXPECT_EQ(precision_name(machine), "bf16");
}

TEST(EvalLm, NamesTheDictionaryThatDoesNotFitTheModel) {
  EvalLmOptions options = golden_options("checkpoints/demix_fork/dense/checkpoint_last.pt",
                                         "data-bin/perl", "test_perl");
  expect_error<compat::FormatError>([&] { eval_lm(options); },
                                    "a dictionary of 2112 symbols does not fit the model");
}

TEST(EvalLm, RefusesAModelOfAnotherDictionaryOfTheSameSize) {
  const btm_test::TempDir dir;
  EvalLmOptions options = perl_options();
  const auto source = compat::Checkpoint::open(options.path);
  compat::PickleArena arena;
  const std::string own = compat::known_dictionary(golden("data-bin/perl/dict.txt")).sha256;
  compat::save_checkpoint(dir / "own.pt", *compat::with_dictionary(arena, source.root(), own));
  compat::save_checkpoint(dir / "other.pt",
                          *compat::with_dictionary(arena, source.root(), std::string(64, 'a')));
  options.data.batching.max_samples = 1;
  options.path = (dir / "own.pt").string();
  EXPECT_GT(eval_lm(options).tokens, 0);
  options.path += ":" + (dir / "other.pt").string();
  expect_error<compat::FormatError>(
      [&] { eval_lm(options); },
      "perl/dict.txt: has another dictionary (SHA-256 28d0f73d0d74...) than " +
          (dir / "other.pt").string() + " (aaaaaaaaaaaa...)");
}

TEST(EvalLm, TakesTheMovingAverageOfTheWeights) {
  const btm_test::TempDir dir;
  const compat::Checkpoint seed =
      compat::Checkpoint::open(golden("checkpoints/seed/checkpoint_last.pt"));
  const compat::Checkpoint perl =
      compat::Checkpoint::open(golden("checkpoints/elm_perl/checkpoint_last.pt"));
  compat::PickleArena arena;
  compat::PickleDict extra, root = *seed.root().get_if<compat::PickleDict>();
  arena.put(extra, "ema", const_cast<compat::PickleNode*>(perl.root().find("model")));
  std::erase_if(root.items, [](const auto& item) {
    const auto* const key = item.first->template get_if<std::string>();
    return key != nullptr && *key == "extra_state";
  });
  arena.put(root, "extra_state", arena.make(std::move(extra)));
  compat::save_checkpoint(dir / "ema.pt", *arena.make(std::move(root)));

  EvalLmOptions options = perl_options();
  const double expected = eval_lm(options).loss_base2;
  options.path = (dir / "ema.pt").string();
  const double without = eval_lm(options).loss_base2;
  options.ema = true;
  EXPECT_EQ(eval_lm(options).loss_base2, expected);
  EXPECT_GT(std::abs(without - expected), 0.1);
}

TEST(EvalLm, RefusesTheMovingAverageOfACheckpointWithoutOne) {
  EvalLmOptions options = perl_options();
  options.ema = true;
  expect_error<compat::FormatError>([&] { eval_lm(options); }, "[extra_state.ema]: is missing");
}

}  // namespace
}  // namespace btm
