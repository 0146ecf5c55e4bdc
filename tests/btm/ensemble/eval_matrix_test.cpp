#include "btm/ensemble/eval_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "btm/evaluator/diverged_model.h"
#include "btm/evaluator/eval_lm.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;

const std::vector<std::string> kExperts{"fortunes", "jargon", "perl", "politics"};

std::string checkpoint(const std::string& name) {
  return golden("checkpoints/" + name + "/checkpoint_last.pt").string();
}

EvalMatrixOptions golden_options(const btm_test::TempDir& dir) {
  EvalMatrixOptions options;
  options.folder = golden("data-bin").string();
  options.batching.tokens_per_sample = 128;
  options.batching.batch_size = 2;
  options.machine.num_threads = 2;
  options.domains = {"fortunes"};
  options.resamples = 200;
  options.cache = (dir / "scores").string();
  return options;
}

const MatrixRow& row(const EvalMatrix& matrix, const std::string& name) {
  for (const MatrixRow& candidate : matrix.rows)
    if (candidate.name == name) return candidate;
  throw std::runtime_error("no row " + name);
}

/// One run of everything, which is then continued.
class EvalMatrixOfGoldenModels : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    static const btm_test::TempDir dir;
    EvalMatrixOptions options = golden_options(dir);
    options.models = {{"seed", checkpoint("seed")}};
    for (const std::string& expert : kExperts)
      options.models.emplace_back(expert, checkpoint("elm_" + expert));
    options.models.emplace_back("uniform4", checkpoint("average_uniform4"));
    options.experts = kExperts;
    options.ensembles = {EnsembleType::kCachedPrior, EnsembleType::kUpdatingPrior,
                         EnsembleType::kUniformPrior, EnsembleType::kSimpleAverage};
    options.prior_batches =
        100;  // all of valid: a few batches do not distinguish the golden experts
    options.average = true;
    first_ = new ScoredMatrix(eval_matrix(options));
    second_ = new ScoredMatrix(eval_matrix(options));
  }
  static void TearDownTestSuite() {
    delete first_;
    delete second_;
  }
  static inline ScoredMatrix* first_ = nullptr;
  static inline ScoredMatrix* second_ = nullptr;
};

TEST_F(EvalMatrixOfGoldenModels, GivesFairseqsPerplexities) {
  // From golden/eval.json, printed with two digits.
  EXPECT_NEAR(row(*first_, "seed").cells[0].perplexity, 628.31, 0.011);
  EXPECT_NEAR(row(*first_, "fortunes").cells[0].perplexity, 470.63, 0.011);
  EXPECT_NEAR(row(*first_, "jargon").cells[0].perplexity, 622.21, 0.011);
  for (const MatrixRow& each : first_->rows) EXPECT_EQ(each.cells[0].tokens, 6988) << each.name;
}

TEST_F(EvalMatrixOfGoldenModels, CountsParameters) {
  const MatrixRow& seed = row(*first_, "seed");
  EXPECT_GT(seed.parameters, 0);
  EXPECT_EQ(seed.active, seed.parameters);
  EXPECT_EQ(row(*first_, "average").parameters, seed.parameters);
  EXPECT_EQ(row(*first_, "ensemble cached_prior").parameters, 4 * seed.parameters);
  EXPECT_EQ(row(*first_, "ensemble cached_prior").active, 4 * seed.parameters);
}

TEST_F(EvalMatrixOfGoldenModels, AveragesParametersAsTheReleaseDoes) {
  // The file holds the average, rounded once. Sums in another order differ in the last bits of
  // fp32.
  EXPECT_NEAR(
      row(*first_, "average").cells[0].perplexity / row(*first_, "uniform4").cells[0].perplexity, 1,
      1e-5);
}

TEST_F(EvalMatrixOfGoldenModels, MixesProbabilitiesAsEvalLmDoes) {
  EvalLmOptions options;
  options.data.folder = golden("data-bin/fortunes").string();
  options.data.gen_subset = "test_fortunes";
  options.data.batching.tokens_per_sample = 128;
  options.data.batching.batch_size = 2;
  for (const std::string& expert : kExperts)
    options.path += (options.path.empty() ? "" : ":") + checkpoint("elm_" + expert);
  EXPECT_NEAR(
      row(*first_, "ensemble simple_average").cells[0].perplexity / eval_lm(options).perplexity, 1,
      1e-5);
}

TEST_F(EvalMatrixOfGoldenModels, BelievesTheDomainsOwnExpertMost) {
  ASSERT_EQ(first_->posteriors.size(), 1u);
  const std::vector<double>& prior = first_->posteriors[0].cached_prior;
  ASSERT_EQ(prior.size(), 4u);
  for (std::size_t e = 1; e < 4; ++e) EXPECT_GT(prior[0], prior[e]);
  EXPECT_LT(row(*first_, "ensemble cached_prior").cells[0].perplexity,
            row(*first_, "ensemble uniform_prior").cells[0].perplexity);
  EXPECT_EQ(first_->posteriors[0].batches.size(), 28u);
}

TEST_F(EvalMatrixOfGoldenModels, CountsTheBytesOfTheText) {
  // The raw test set has 19069 bytes. One of them is lost to <unk>.
  EXPECT_NEAR(static_cast<double>(row(*first_, "seed").cells[0].bytes), 19069, 1);
  const MatrixCell& cell = row(*first_, "seed").cells[0];
  EXPECT_NEAR(cell.bits_per_byte, cell.loss_sum / std::log(2.0) / static_cast<double>(cell.bytes),
              1e-12);
}

TEST_F(EvalMatrixOfGoldenModels, ComparesWithTheBaselineOnTheSameDraws) {
  const MatrixCell& base = row(*first_, "seed").cells[0];
  EXPECT_EQ(base.ratio, 1);
  EXPECT_EQ(base.ratio_interval.low, 1);
  EXPECT_EQ(base.ratio_interval.high, 1);
  const MatrixCell& expert = row(*first_, "fortunes").cells[0];
  EXPECT_LT(expert.perplexity_interval.low, expert.perplexity);
  EXPECT_GT(expert.perplexity_interval.high, expert.perplexity);
  EXPECT_LT(expert.ratio_interval.high, 1);
  const double paired = expert.ratio_interval.high - expert.ratio_interval.low;
  const double alone =
      (expert.perplexity_interval.high - expert.perplexity_interval.low) / base.perplexity;
  EXPECT_LT(paired, alone) << "pairing takes out what makes the text hard for both";
}

TEST_F(EvalMatrixOfGoldenModels, ComputesNothingTwice) {
  EXPECT_EQ(first_->computed, 11);  // 6 models and the average on test, 4 experts on valid
  EXPECT_EQ(first_->reused, 0);
  EXPECT_EQ(second_->computed, 0);
  EXPECT_EQ(second_->reused, 11);
  for (std::size_t r = 0; r < first_->rows.size(); ++r)
    EXPECT_EQ(first_->rows[r].cells[0].loss_sum, second_->rows[r].cells[0].loss_sum);
}

TEST(EvalMatrix, RefusesRowsThatCannotBe) {
  const btm_test::TempDir dir;
  const auto expect_refusal = [&](auto&& change, std::string_view phrase) {
    EvalMatrixOptions options = golden_options(dir);
    options.models = {{"a", checkpoint("seed")}, {"b", checkpoint("elm_perl")}};
    change(options);
    expect_error<compat::UsageError>([&] { eval_matrix(options); }, phrase);
  };
  expect_refusal([](auto& o) { o.models.clear(); }, "no model is given, expected NAME=CHECKPOINT");
  expect_refusal([](auto& o) { o.models[1].first = "a"; }, "the name 'a' is given to two models");
  expect_refusal([](auto& o) { o.models[1].second = ""; }, "'b=', expected NAME=CHECKPOINT");
  expect_refusal([](auto& o) { o.experts = {"c"}; }, "--experts names 'c', which is no model");
  expect_refusal([](auto& o) { o.experts = {"a", "a"}; }, "--experts names 'a' twice");
  expect_refusal([](auto& o) { o.average = true; }, "ensembles and the average need --experts");
  expect_refusal([](auto& o) { o.baseline = "c"; }, "--baseline 'c' is not a row of the matrix");
  expect_refusal([](auto& o) { o.resamples = 0; }, "--resamples and --block-tokens are at least 1");
  expect_refusal(
      [](auto& o) { o.experts = {"a"}, o.average = true, o.models[1].first = "average"; },
      "a model is named 'average'");
  expect_refusal(
      [](auto& o) {
        o.experts = {"a"}, o.ensembles = {EnsembleType::kUniformPrior};
        o.models[1].first = "ensemble uniform_prior";
      },
      "a model is named 'ensemble uniform_prior'");
  expect_refusal([](auto& o) { o.domains = {"perl", "perl"}; }, "--domains names 'perl' twice");
}

TEST(EvalMatrix, RefusesOrLeavesOutAModelThatDiverged) {
  const btm_test::TempDir dir;
  EvalMatrixOptions options;
  options.folder = golden("nan/mx").string();
  options.batching.batch_size = 2;
  options.cache = (dir / "scores").string();
  options.models = {{"bad", golden("nan/nan1.pt").string()}, {"ok", golden("nan/ok.pt").string()}};
  options.experts = {"bad", "ok"};
  options.ensembles = {EnsembleType::kUniformPrior};
  options.average = true;
  expect_error<DivergedModel>(
      [&] { eval_matrix(options); },
      "bad: gives no probability (NaN or infinite) for target 1 of sample ");
  options.skip_diverged = true;
  const EvalMatrix matrix = eval_matrix(options);
  EXPECT_EQ(matrix.left_out, std::vector<std::string>{"bad"});
  ASSERT_EQ(matrix.rows.size(), 3U);
  for (const MatrixRow& each : matrix.rows)
    EXPECT_NEAR(each.cells[0].perplexity, 12.12, 0.01) << each.name;
}

TEST(EvalMatrix, GivesNoIntervalOfFewBlocks) {
  const btm_test::TempDir dir;
  EvalMatrixOptions options = golden_options(dir);
  options.models = {{"a", checkpoint("seed")}, {"b", checkpoint("elm_perl")}};
  options.batching.max_samples = 2;  // six samples of 128 tokens: one block of 512
  const MatrixCell cell = eval_matrix(options).rows[1].cells[0];
  EXPECT_EQ(cell.blocks, 1);
  EXPECT_TRUE(std::isfinite(cell.ratio));
  for (const double bound :
       {cell.perplexity_interval.low, cell.perplexity_interval.high, cell.ratio_interval.low})
    EXPECT_TRUE(std::isnan(bound));
  options.batching.max_samples = 9;
  options.block_tokens = 128;
  const MatrixRow many = eval_matrix(options).rows[1];
  EXPECT_EQ(many.cells[0].blocks,
            19);  // 20 samples, of which the shorter one joins another block
  EXPECT_LT(many.cells[0].perplexity_interval.low, many.mean.perplexity_interval.high);
}

TEST(EvalMatrix, SaysWhichDomainFolderLacksTheSplit) {
  const btm_test::TempDir dir;
  std::filesystem::create_directories(dir / "data");
  std::filesystem::copy(golden("nan/mx"), dir / "data", std::filesystem::copy_options::recursive);
  std::filesystem::copy(dir / "data/d1", dir / "data/snake",
                        std::filesystem::copy_options::recursive);
  EvalMatrixOptions options;
  options.folder = (dir / "data").string();
  options.cache = (dir / "scores").string();
  options.models = {{"ok", golden("nan/ok.pt").string()}};
  std::vector<std::string> warnings;
  EvalMatrixObserver observer;
  observer.warn = [&](const std::string& line) { warnings.push_back(line); };
  EXPECT_EQ(eval_matrix(options, observer).domains, std::vector<std::string>{"d1"});
  const std::string expected =
      "domain folder 'snake' is left out: it has neither test_snake nor test (splits there: "
      "test_d1";
  EXPECT_EQ(std::ranges::count_if(
                warnings, [&](const std::string& line) { return line.starts_with(expected); }),
            1)
      << testing::PrintToString(warnings);
}

TEST(EvalMatrix, NamesWhatIsMissing) {
  const btm_test::TempDir dir;
  EvalMatrixOptions options = golden_options(dir);
  options.models = {{"a", (dir / "none.pt").string()}};
  expect_error<compat::IoError>([&] { eval_matrix(options); }, "none.pt");
  options.models = {{"a", checkpoint("seed")}};
  options.split = "tset";
  expect_error<compat::IoError>([&] { eval_matrix(options); }, "tset");
}

TEST(EvalMatrix, ComputesAgainWhatIsDamagedAndNothingElse) {
  const btm_test::TempDir dir;
  EvalMatrixOptions options = golden_options(dir);
  options.batching.max_samples = 2;
  options.models = {{"a", checkpoint("seed")}, {"b", checkpoint("elm_perl")}};
  const ScoredMatrix whole = eval_matrix(options);
  EXPECT_EQ(whole.computed, 2);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(options.cache)) {
    if (entry.path().extension() != ".scores") continue;
    std::string content = btm_test::read_file(entry.path());
    content[20] = static_cast<char>(content[20] ^ 1);
    btm_test::write_file(entry.path(), content);
    break;
  }
  std::vector<std::string> warnings;
  EvalMatrixObserver observer;
  observer.warn = [&](const std::string& line) { warnings.push_back(line); };
  const ScoredMatrix again = eval_matrix(options, observer);
  EXPECT_EQ(again.computed, 1);
  EXPECT_EQ(again.reused, 1);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("the checksum is wrong"), std::string::npos) << warnings[0];
  for (std::size_t r = 0; r < 2; ++r)
    EXPECT_EQ(again.rows[r].cells[0].loss_sum, whole.rows[r].cells[0].loss_sum);
}

TEST(EvalMatrix, ScoresAgainWhatOptionsChange) {
  const btm_test::TempDir dir;
  EvalMatrixOptions options = golden_options(dir);
  options.batching.max_samples = 2;
  options.models = {{"a", checkpoint("seed")}};
  const auto computed = [&](auto&& change) {
    EvalMatrixOptions changed = options;
    change(changed);
    return eval_matrix(changed).computed;
  };
  EXPECT_EQ(computed([](auto&) {}), 1);
  EXPECT_EQ(computed([](auto& o) { o.machine.num_threads = 1; }), 0);
  EXPECT_EQ(computed([](auto& o) { o.batching.tokens_per_sample = 64; }), 1);
  EXPECT_EQ(computed([](auto& o) { o.batching.batch_size = 1; }), 1);
  EXPECT_EQ(computed([](auto& o) { o.machine.bf16 = true; }), 1);
  EXPECT_EQ(computed([](auto& o) { o.machine.fp32_matmul = "bf16x3"; }), 1);
  EXPECT_EQ(computed([](auto& o) { o.models = {{"other", checkpoint("elm_perl")}}; }), 1);
}

TEST(EvalMatrix, GoesOnWithoutACacheThatCannotKeepScores) {
  const btm_test::TempDir dir;
  EvalMatrixOptions options = golden_options(dir);
  options.batching.max_samples = 2;
  options.domains = {"fortunes", "perl"};
  options.models = {{"a", checkpoint("seed")}, {"b", checkpoint("elm_perl")}};
  options.experts = {"a", "b"};
  options.ensembles = {EnsembleType::kUpdatingPrior};
  options.average = true;
  const ScoredMatrix kept = eval_matrix(options);
  options.cache = (dir / "file").string();
  btm_test::write_file(options.cache, "a file");
  std::vector<std::string> warnings;
  EvalMatrixObserver observer;
  observer.warn = [&](const std::string& line) { warnings.push_back(line); };
  const ScoredMatrix without = eval_matrix(options, observer);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("scores are not kept"), std::string::npos) << warnings[0];
  ASSERT_EQ(without.rows.size(), kept.rows.size());
  for (std::size_t r = 0; r < kept.rows.size(); ++r)
    for (std::size_t d = 0; d < 2; ++d)
      EXPECT_EQ(without.rows[r].cells[d].loss_sum, kept.rows[r].cells[d].loss_sum)
          << kept.rows[r].name;
}

TEST(EvalMatrix, UsesWhatItHasReadWhenTheCacheIsRemovedMeanwhile) {
  const btm_test::TempDir dir;
  EvalMatrixOptions options = golden_options(dir);
  options.batching.max_samples = 2;
  options.models = {{"a", checkpoint("seed")}, {"b", checkpoint("elm_perl")}};
  const ScoredMatrix whole = eval_matrix(options);
  options.models.emplace_back("c", checkpoint("elm_jargon"));
  EvalMatrixObserver observer;
  observer.progress = [&](std::int64_t, std::int64_t, const std::string&, const std::string&) {
    std::filesystem::remove_all(options.cache);
  };
  const ScoredMatrix again = eval_matrix(options, observer);
  EXPECT_EQ(again.reused, 2);
  EXPECT_EQ(again.computed, 1);
  for (std::size_t r = 0; r < 2; ++r)
    EXPECT_EQ(again.rows[r].cells[0].loss_sum, whole.rows[r].cells[0].loss_sum);
}

TEST(EvalMatrix, DoesNotKeepScoresOfACheckpointThatIsReplacedMeanwhile) {
  const btm_test::TempDir dir;
  EvalMatrixOptions options = golden_options(dir);
  options.batching.max_samples = 2;
  const auto copy = [&](const std::string& name) {
    std::filesystem::copy_file(checkpoint(name), dir / "new.pt");
    std::filesystem::rename(dir / "new.pt", dir / "model.pt");
  };
  copy("seed");
  options.models = {{"a", (dir / "model.pt").string()}};
  EvalMatrixObserver replace;
  replace.progress = [&](std::int64_t done, std::int64_t, const std::string&, const std::string&) {
    if (done == 1) copy("elm_perl");
  };
  const double seed = eval_matrix(options, replace).rows[0].cells[0].loss_sum;
  const ScoredMatrix perl = eval_matrix(options);
  EXPECT_EQ(perl.computed, 1);
  EXPECT_NE(perl.rows[0].cells[0].loss_sum, seed);
  copy("seed");
  EXPECT_EQ(eval_matrix(options).rows[0].cells[0].loss_sum, seed);
}

}  // namespace
}  // namespace btm
