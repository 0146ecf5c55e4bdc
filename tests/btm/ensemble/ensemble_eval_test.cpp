#include "btm/ensemble/ensemble_eval.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "btm/cluster/cluster_model.h"
#include "btm/cluster/corpus.h"
#include "btm/distributed/communicator.h"
#include "btm/evaluator/diverged_model.h"
#include "compat/base/error.h"
#include "compat/base/text.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::expect_error;
using btm_test::golden;

const std::vector<std::string> kExperts{"fortunes", "jargon", "perl", "politics"};

std::string checkpoints_of(const std::vector<std::string>& experts) {
  std::string path;
  for (const std::string& expert : experts)
    path += (path.empty() ? "" : ":") +
            golden("checkpoints/elm_" + expert + "/checkpoint_last.pt").string();
  return path;
}

/// The flags of the rows in tests/golden/ensemble.json.
EnsembleEvalOptions golden_options(const std::string& split, const std::string& domain,
                                   const std::vector<std::string>& experts) {
  EnsembleEvalOptions options;
  options.path = checkpoints_of(experts);
  options.data.folder = golden("data-bin").string();
  options.data.gen_subset = split + "_" + domain;
  options.data.task = "multidomain_language_modeling";
  options.data.eval_domains = domain;
  options.data.batching.tokens_per_sample = 128;
  options.data.batching.batch_size = 2;
  options.ensemble_type = EnsembleType::kUpdatingPrior;
  return options;
}

/// The same data and models for eval_lm.
EvalLmOptions alone_options(const EnsembleEvalOptions& options) {
  EvalLmOptions alone;
  alone.path = options.path;
  alone.data = options.data;
  alone.machine = options.machine;
  return alone;
}

/// Runs a few batches.
EnsembleEvalOptions short_options(const std::vector<std::string>& experts = kExperts) {
  EnsembleEvalOptions options = golden_options("test", "perl", experts);
  options.data.batching.max_samples = 4;
  return options;
}

EnsembleReport run(const EnsembleEvalOptions& options, const EnsembleObserver& observer = {}) {
  return ensemble_eval(options, observer, *single_process());
}

std::string joined(const std::vector<double>& numbers) {
  std::string text;
  for (const double number : numbers)
    text += (text.empty() ? "" : ",") + nlohmann::json(number).dump();
  return text;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected,
                 double tolerance, const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], tolerance) << what << " " << i;
}

void expect_equal(const EnsembleReport& a, const EnsembleReport& b) {
  EXPECT_EQ(a.eval.perplexity, b.eval.perplexity);
  EXPECT_EQ(a.eval.tokens, b.eval.tokens);
  ASSERT_EQ(a.lines.size(), b.lines.size());
  for (std::size_t i = 0; i < a.lines.size(); ++i) {
    EXPECT_EQ(a.lines[i].ppl, b.lines[i].ppl);
    EXPECT_EQ(a.lines[i].posterior, b.lines[i].posterior);
    EXPECT_EQ(a.lines[i].exp_avg_posterior, b.lines[i].exp_avg_posterior);
  }
}

/// Compares a run with the output of the release. Its fp32 sums have the order of torch 1.13, which
/// changes results by less than 1e-6.
void expect_golden(const nlohmann::json& row) {
  EnsembleEvalOptions options = golden_options(row["split"], row["domain"], row["experts"]);
  options.ensemble_type = ensemble_type_of(row["type"].get<std::string>()).value();
  options.data.resample_eval = true;
  if (!row["prior"].is_null()) options.precomputed_prior = joined(row["prior"]);
  if (!row["topk"].is_null()) options.eval_topk = row["topk"];
  if (!row["max_samples"].is_null()) options.data.batching.max_samples = row["max_samples"];
  std::vector<float> first;
  EnsembleObserver observer;
  observer.mixed = [&](const Batch&, std::span<const float> scores) {
    if (first.empty()) first.assign(scores.begin(), scores.end());
  };
  const EnsembleReport report = run(options, observer);
  const std::string name =
      options.data.gen_subset + " " + std::string(name_of(options.ensemble_type));
  EXPECT_NEAR(report.eval.perplexity / row["ppl"].get<double>(), 1, 1e-6) << name;
  EXPECT_EQ(report.eval.tokens, row["tokens"].get<std::int64_t>()) << name;
  const auto& lines = row["lines"];
  ASSERT_EQ(report.lines.size(), lines.size()) << name;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_NEAR(report.lines[i].ppl / lines[i]["ppl"].get<double>(), 1, 1e-6)
        << name << " line " << i;
    expect_near(report.lines[i].posterior, lines[i]["posterior"], 1e-6, name);
    expect_near(report.lines[i].exp_avg_posterior, lines[i]["exp_avg_posterior"], 1e-6, name);
  }
  const auto& scores = row["first_batch"]["positional_scores"];
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t t = 0; t < scores[i].size(); ++t)
      EXPECT_NEAR(first[i * (first.size() / scores.size()) + t], scores[i][t].get<double>(), 2e-5)
          << name << " " << i << " " << t;
}

TEST(EnsembleEval, GivesTheReleasesNumbers) {
  const auto rows = nlohmann::json::parse(btm_test::read_file(golden("ensemble.json")));
  ASSERT_EQ(rows.size(), 19U);
  for (const auto& row : rows) expect_golden(row);
}

TEST(EnsembleEval, OfOneExpertIsEvalLm) {
  EnsembleEvalOptions options = golden_options("test", "jargon", {"perl"});
  const EnsembleReport report = run(options);
  const EvalLmReport alone = eval_lm(alone_options(options));
  EXPECT_EQ(report.eval.tokens, alone.tokens);
  EXPECT_NEAR(report.eval.loss_base2, alone.loss_base2,
              1e-6);  // padded rows have a padding mask here, only a causal one there
  for (const EnsembleLine& line : report.lines) EXPECT_EQ(line.posterior, std::vector<double>{1.0});
}

/// A cluster model of the split of a data-bin.
void train_clusters_of(const std::filesystem::path& split, const std::filesystem::path& path,
                       std::int64_t clusters) {
  const Corpus all(split, "");
  std::vector<std::string> documents;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(all.size(), 60); ++i)
    documents.push_back(all.text(i));
  ClusterTrainingOptions options;
  options.rule = TermRule::kPieces;
  options.clusters = clusters;
  options.dimensions = 2;
  ClusterModel::train(documents, options).save(path);
}

/// Three equal models, in every type of ensemble and with every posterior.
void expect_the_models_own_loss(const EvalLmOptions& eval, const std::filesystem::path& clusters) {
  const EvalLmReport alone = eval_lm(eval);
  EnsembleEvalOptions options;
  options.data = eval.data;
  options.machine = eval.machine;
  options.path = eval.path + ":" + eval.path + ":" + eval.path;
  options.precomputed_prior = "0.2,0.3,0.5";
  options.cluster.model = clusters.string();
  for (const std::string& type : ensemble_type_names())
    for (const std::string& posterior : posterior_rule_names()) {
      options.ensemble_type = ensemble_type_of(type).value();
      options.posterior = posterior_rule_of(posterior);
      const EnsembleReport report = run(options);
      const std::string name = eval.data.folder + " " + eval.data.batching.sample_break_mode + " " +
                               type + " " + posterior;
      EXPECT_EQ(report.eval.tokens, alone.tokens) << name;
      EXPECT_NEAR(report.eval.loss_base2, alone.loss_base2, 1e-5) << name;
    }
}

TEST(EnsembleEval, OfEqualModelsIsTheModelWithPaddingAmidRowsToo) {
  const btm_test::TempDir dir;
  EvalLmOptions padded;
  padded.data.folder = golden("pad_inside").string();
  padded.path = golden("pad_inside/start.pt").string();
  padded.data.gen_subset = "test";
  padded.data.batching.batch_size = 4;
  padded.machine.num_threads = 2;
  train_clusters_of(golden("pad_inside/valid"), dir / "toy", 3);
  EXPECT_NEAR(eval_lm(padded).perplexity, 16.28, 0.01);
  for (const std::string mode : {"none", "eos", "complete"}) {
    padded.data.batching.sample_break_mode = mode;
    expect_the_models_own_loss(padded, dir / "toy");
  }
  padded.data.batching.sample_break_mode = "none";
  padded.data.batching.tokens_per_sample = 20;
  padded.data.batching.context_window = 7;
  expect_the_models_own_loss(padded, dir / "toy");
  EvalLmOptions whole = alone_options(golden_options("valid", "fortunes", {"fortunes"}));
  whole.data.batching.max_samples = 3;
  train_clusters_of(golden("data-bin/fortunes/valid_fortunes"), dir / "fortunes", 3);
  expect_the_models_own_loss(whole, dir / "fortunes");
}

EnsembleEvalOptions with_a_diverged_expert() {
  EnsembleEvalOptions options;
  options.data.folder = golden("nan/data").string();
  options.path = golden("nan/nan1.pt").string() + ":" + golden("nan/ok.pt").string();
  options.machine.num_threads = 1;
  options.ensemble_type = EnsembleType::kUniformPrior;
  return options;
}

TEST(EnsembleEval, RefusesAnExpertThatDiverged) {
  EnsembleEvalOptions options = with_a_diverged_expert();
  expect_error<DivergedModel>(
      [&] { run(options); },
      "nan1.pt: gives no probability (NaN or infinite) for target 1 of sample ");
  options.skip_diverged = true;
  for (const EnsembleType type : {EnsembleType::kUniformPrior, EnsembleType::kUpdatingPrior,
                                  EnsembleType::kSimpleAverage, EnsembleType::kCachedPrior}) {
    SCOPED_TRACE(name_of(type));
    options.ensemble_type = type;
    options.precomputed_prior = "0.7,0.3";
    const EnsembleReport report = run(options);
    EXPECT_EQ(report.experts, (std::vector<std::string>{"nan1", "ok"}));
    EXPECT_EQ(report.left_out, std::vector<std::string>{"nan1"});
    EvalLmOptions alone = alone_options(options);
    alone.path = golden("nan/ok.pt").string();
    EXPECT_NEAR(report.eval.loss_base2, eval_lm(alone).loss_base2, 1e-6);
    EXPECT_EQ(report.lines.back().exp_avg_posterior, (std::vector<double>{0, 1}));
  }
  options.precomputed_prior = "1,0";
  expect_error<std::runtime_error>([&] { run(options); },
                                   "every expert that has a weight diverged");
  options.ensemble_type = EnsembleType::kClusterPrior;
  options.cluster.model = "x";
  expect_error<compat::UsageError>([&] { run(options); },
                                   "--skip-diverged does not go with cluster_prior");
}

TEST(EnsembleEval, SaysThatOneBatchUpdatesNoPrior) {
  EnsembleEvalOptions options = short_options({"fortunes", "perl"});
  options.data.batching.batch_size = 0;
  std::vector<std::string> warnings;
  EnsembleObserver observer;
  observer.eval.warn = [&](const std::string& line) { warnings.push_back(line); };
  options.ensemble_type = EnsembleType::kUpdatingPrior;
  run(options, observer);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("are one batch"), std::string::npos) << warnings[0];
}

TEST(EnsembleEval, ScoresEveryBlockOnceByDefault) {
  EnsembleEvalOptions options = golden_options("test", "fortunes", {"fortunes"});
  EXPECT_EQ(run(options).eval.tokens, 6988);
  options.data.resample_eval = true;
  EXPECT_EQ(run(options).eval.tokens, 6936);
}

TEST(EnsembleEval, OfAllExpertsByTopKOrSparsenessIsTheDenseOne) {
  EnsembleEvalOptions options = short_options();
  options.ensemble_type = EnsembleType::kCachedPrior;
  options.precomputed_prior = "0.4,0.3,0.2,0.1";
  const EnsembleReport dense = run(options);
  options.eval_topk = 4;
  expect_equal(run(options), dense);
  options.sparse = true;
  expect_equal(run(options), dense);
}

TEST(EnsembleEval, PermutesItsPosteriorsWithItsExperts) {
  for (const PosteriorRule posterior : {PosteriorRule::kLast, PosteriorRule::kFull}) {
    EnsembleEvalOptions options = short_options();
    options.posterior = posterior;
    const EnsembleReport straight = run(options);
    options.path = checkpoints_of({"perl", "fortunes", "politics", "jargon"});
    const EnsembleReport permuted = run(options);
    EXPECT_NEAR(straight.eval.perplexity, permuted.eval.perplexity, 1e-9);
    ASSERT_EQ(straight.lines.size(), permuted.lines.size());
    for (std::size_t i = 0; i < straight.lines.size(); ++i) {
      const auto& p = straight.lines[i].exp_avg_posterior;
      expect_near(permuted.lines[i].exp_avg_posterior, {p[2], p[0], p[3], p[1]}, 1e-12,
                  "permuted");  // the sums have another order
    }
  }
}

TEST(EnsembleEval, MixesDenseExpertsAndDemixRanks) {
  EnsembleEvalOptions dense = short_options({"fortunes", "perl"});
  EnsembleEvalOptions mixed = dense;
  const std::string demix = golden("checkpoints/demix/checkpoint_last-rank-").string();
  mixed.path = demix + "0.pt:" + demix + "2.pt";
  const EnsembleReport ranks = run(mixed);
  mixed.path = checkpoints_of({"fortunes"}) + ":" + demix + "2.pt";
  const EnsembleReport both = run(mixed);
  for (const EnsembleLine& line : ranks.lines)
    EXPECT_NEAR(std::accumulate(line.posterior.begin(), line.posterior.end(), 0.0), 1, 1e-12);
  // The second expert is equal, the first differs: the dense ELM was trained from another shared
  // half than the seed's.
  EXPECT_NE(both.eval.perplexity, ranks.eval.perplexity);
  EXPECT_NE(both.eval.perplexity, run(dense).eval.perplexity);
}

TEST(EnsembleEval, LeavesExpertsOfPriorZeroOutWhenSparse) {
  EnsembleEvalOptions options = short_options();
  options.ensemble_type = EnsembleType::kCachedPrior;
  options.precomputed_prior = "0,0.3,0.6,0.1";
  options.eval_topk = 2;
  options.sparse = true;
  const btm_test::TempDir dir;  // its files are no models: they are not loaded
  for (const char* name : {"a.pt", "d.pt"}) btm_test::write_file(dir / name, "no model");
  options.path = (dir / "a.pt").string() + ":" + checkpoints_of({"jargon", "perl"}) + ":" +
                 (dir / "d.pt").string();
  const EnsembleReport sparse = run(options);
  EXPECT_EQ(sparse.blocks_run, 2 * sparse.eval.samples);
  EnsembleEvalOptions pair = short_options({"jargon", "perl"});
  pair.ensemble_type = EnsembleType::kCachedPrior;
  pair.precomputed_prior = "0.3333333333,0.6666666667";
  const EnsembleReport two = run(pair);
  EXPECT_NEAR(sparse.eval.perplexity, two.eval.perplexity, 1e-6);
  for (std::size_t i = 0; i < two.lines.size(); ++i) {
    const auto& p = two.lines[i].posterior;
    expect_near(sparse.lines[i].posterior, {0, p[0], p[1], 0}, 1e-8, "posterior");
  }
}

TEST(EnsembleEval, FullPosteriorFindsTheBestExpert) {
  EnsembleEvalOptions options = short_options();
  options.ensemble_type = EnsembleType::kUniformPrior;
  options.posterior = PosteriorRule::kFull;
  const EnsembleReport full = run(options);
  options.posterior = PosteriorRule::kLast;
  const EnsembleReport last = run(options);
  EXPECT_LT(full.eval.perplexity, last.eval.perplexity);
  // A mixture by Bayes loses at most log N a block against the best expert, here perl's own.
  const EvalLmReport best = eval_lm([&] {
    EvalLmOptions eval = alone_options(options);
    eval.path = checkpoints_of({"perl"});
    return eval;
  }());
  EXPECT_LE(full.eval.loss_sum,
            best.loss_sum + std::log(4.0) * static_cast<double>(best.samples) + 1e-6);
}

/// Ranks that are threads of this process. Has only the parts of a communicator that ensemble_eval
/// uses.
class ThreadRanks {
 public:
  explicit ThreadRanks(int size)
      : size_(size), parts_(static_cast<std::size_t>(size)), barrier_(size) {}

  class Rank final : public Communicator {
   public:
    Rank(ThreadRanks& all, int rank) : all_(all), rank_(rank) {}
    int rank() const noexcept override { return rank_; }
    int size() const noexcept override { return all_.size_; }
    std::vector<std::string> all_gather(const std::string& bytes) override {
      all_.parts_[static_cast<std::size_t>(rank_)] = bytes;
      all_.barrier_.arrive_and_wait();
      std::vector<std::string> parts = all_.parts_;
      all_.barrier_.arrive_and_wait();
      return parts;
    }
    std::unique_ptr<Pending> start_all_reduce(const at::Tensor&) override {
      throw std::logic_error("not asked for");
    }
    void broadcast(const at::Tensor&, int) override { throw std::logic_error("not asked for"); }
    void barrier() override { all_.barrier_.arrive_and_wait(); }
    std::unique_ptr<Communicator> subgroup(const std::vector<int>&) override {
      throw std::logic_error("not asked for");
    }

   private:
    ThreadRanks& all_;
    int rank_;
  };

 private:
  int size_;
  std::vector<std::string> parts_;
  std::barrier<> barrier_;
};

TEST(EnsembleEval, IsTheSameForEveryLayoutOverRanks) {
  const EnsembleEvalOptions options = short_options();
  const EnsembleReport alone = run(options);
  for (const int size : {2, 3, 4, 5}) {  // even, uneven, one each, one rank without an expert
    ThreadRanks ranks(size);
    std::vector<EnsembleReport> reports(static_cast<std::size_t>(size));
    std::vector<std::thread> threads;
    for (int r = 0; r < size; ++r)
      threads.emplace_back([&, r] {
        ThreadRanks::Rank rank(ranks, r);
        reports[static_cast<std::size_t>(r)] = ensemble_eval(options, {}, rank);
      });
    for (std::thread& thread : threads) thread.join();
    for (const EnsembleReport& report : reports) {
      expect_equal(report, alone);
      EXPECT_EQ(report.blocks_run, alone.blocks_run);
    }
  }
}

TEST(EnsembleEval, RunsNoModelForScoresThatAreCached) {
  const btm_test::TempDir dir;
  EnsembleEvalOptions options = short_options({"fortunes", "jargon"});
  options.score_cache = dir.path().string();
  const EnsembleReport first = run(options);
  EXPECT_EQ(first.experts_stored, 0);
  EXPECT_EQ(first.blocks_run, 2 * first.eval.samples);
  const EnsembleReport again = run(options);
  expect_equal(again, first);
  EXPECT_EQ(again.experts_stored, 2);
  EXPECT_EQ(again.blocks_run, 0);
  options.ensemble_type = EnsembleType::kSimpleAverage;
  EXPECT_EQ(run(options).blocks_run, 0);
  EnsembleEvalOptions more = short_options({"fortunes", "perl", "jargon"});
  more.score_cache = options.score_cache;
  const EnsembleReport third = run(more);
  EXPECT_EQ(third.blocks_run, third.eval.samples);  // one more expert adds one pass
  more.score_cache.clear();
  expect_equal(run(more), third);
  options.data.batching.batch_size = 3;  // other padding changes the last bits
  EXPECT_EQ(run(options).experts_stored, 0);
}

/// A cluster model of the validation sets of the four domains. Its clusters can differ from the
/// domains.
void train_clusters(const std::filesystem::path& path) {
  std::vector<std::string> documents;
  for (const std::string& domain : kExperts) {
    const Corpus all(golden("data-bin/" + domain + "/valid_" + domain), "");
    for (std::int64_t i = 0; i < std::min<std::int64_t>(all.size(), 60); ++i)
      documents.push_back(all.text(i));
  }
  ClusterTrainingOptions options;
  options.rule = TermRule::kPieces;
  options.clusters = 4;
  options.dimensions = 10;
  ClusterModel::train(documents, options).save(path);
}

TEST(EnsembleEval, WeighsByClustersOfTheTextSoFar) {
  const btm_test::TempDir dir;
  train_clusters(dir / "clusters");
  EnsembleEvalOptions options = short_options();
  options.ensemble_type = EnsembleType::kClusterPrior;
  options.cluster.model = (dir / "clusters").string();
  options.cluster.temperature = 1e6;  // all experts get equal weights
  const EnsembleReport flat = run(options);
  EnsembleEvalOptions average = short_options();
  average.ensemble_type = EnsembleType::kSimpleAverage;
  EXPECT_NEAR(flat.eval.loss_base2, run(average).eval.loss_base2, 1e-5);
  options.cluster.temperature = 0.1;
  const EnsembleReport all = run(options);
  EXPECT_NE(all.eval.perplexity, flat.eval.perplexity);
  EXPECT_EQ(all.blocks_run, 4 * all.eval.samples);
  options.eval_topk = 4;
  options.sparse = true;
  expect_equal(run(options), all);
  options.eval_topk = 1;
  options.machine.cpu = true;  // a GPU computes products differently for other batches
  const EnsembleReport sparse = run(options);
  options.sparse = false;
  const EnsembleReport dense = run(options);
  EXPECT_EQ(sparse.eval.perplexity, dense.eval.perplexity);  // experts without weight are not run
  EXPECT_LT(sparse.blocks_run, dense.blocks_run);
}

/// A run with a score cache gives the result of a run without one.
void expect_as_without_cache(EnsembleEvalOptions options, const std::filesystem::path& cache) {
  options.score_cache = cache.string();
  const EnsembleReport found = run(options);
  options.score_cache.clear();
  expect_equal(found, run(options));
}

EnsembleEvalOptions sparse_options(const std::filesystem::path& clusters,
                                   const std::vector<std::string>& experts) {
  EnsembleEvalOptions options = short_options(experts);
  options.ensemble_type = EnsembleType::kClusterPrior;
  options.cluster.model = clusters.string();
  options.eval_topk = 1;
  options.sparse = true;
  options.machine.cpu = true;
  return options;
}

TEST(EnsembleEval, KeepsSparseScoresByTheRowsThatWereScored) {
  const btm_test::TempDir dir;
  train_clusters(dir / "clusters");
  EnsembleEvalOptions options = sparse_options(dir / "clusters", kExperts);
  expect_as_without_cache(options, dir / "cache");
  options.score_cache = (dir / "cache").string();
  EXPECT_EQ(run(options).blocks_run, 0);
  // The same experts for other clusters. The scores of the former rows cannot be used for the new
  // ones.
  expect_as_without_cache(
      sparse_options(dir / "clusters", {"politics", "perl", "jargon", "fortunes"}), dir / "cache");
  options.sparse = false;
  expect_as_without_cache(options, dir / "cache");
  options.sparse = true;
  options.cluster.temperature = 0.01;
  options.eval_topk = 2;
  expect_as_without_cache(options, dir / "cache");
}

TEST(EnsembleEval, KeepsScoresByTheWordsOfTheDictionary) {
  const btm_test::TempDir dir;
  train_clusters(dir / "clusters");
  std::filesystem::copy(golden("data-bin/perl"), dir / "perl");
  EnsembleEvalOptions options = sparse_options(dir / "clusters", kExperts);
  options.data.task = "language_modeling";
  options.data.eval_domains.clear();
  options.data.folder = (dir / "perl").string();
  expect_as_without_cache(options, dir / "cache");
  // The same ids mean other words now, so other clusters are chosen.
  std::vector<std::string> lines;
  compat::for_each_line(btm_test::read_file(dir / "perl/dict.txt"),
                        [&](std::string_view line) { lines.emplace_back(line); });
  std::ranges::reverse(lines);
  std::string reversed;
  for (const std::string& line : lines) reversed += line + "\n";
  btm_test::write_file(dir / "perl/dict.txt", reversed);
  options.score_cache = (dir / "cache").string();
  EXPECT_EQ(run(options).experts_stored, 0);
  expect_as_without_cache(options, dir / "cache");
}

TEST(EnsembleEval, KeepsNoScoresOfACheckpointThatIsReplacedMeanwhile) {
  const btm_test::TempDir dir;
  const auto put = [&](const std::string& expert) {
    std::filesystem::copy_file(golden("checkpoints/elm_" + expert + "/checkpoint_last.pt"),
                               dir / "new.pt");
    std::filesystem::rename(dir / "new.pt", dir / "model.pt");
  };
  put("fortunes");
  EnsembleEvalOptions options = short_options({"jargon"});
  options.path += ":" + (dir / "model.pt").string();
  options.score_cache = (dir / "cache").string();
  std::vector<std::string> warnings;
  EnsembleObserver replace;
  replace.eval.warn = [&](const std::string& line) { warnings.push_back(line); };
  replace.progress = [&](const EnsembleProgress& at) {
    if (at.expert == at.experts && at.done == at.of - 1) put("perl");
  };
  const EnsembleReport fortunes = run(options, replace);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("model.pt was changed or replaced meanwhile"), std::string::npos)
      << warnings[0];
  expect_equal(fortunes, run(short_options({"jargon", "fortunes"})));
  const EnsembleReport perl = run(options);
  EXPECT_EQ(perl.experts_stored, 1);
  expect_equal(perl, run(short_options({"jargon", "perl"})));
  put("fortunes");
  expect_equal(run(options), fortunes);
}

TEST(EnsembleEval, GivesEveryClusterTheExpertThatWasTrainedForIt) {
  const btm_test::TempDir dir;
  train_clusters(dir / "clusters");
  EnsembleEvalOptions options = sparse_options(dir / "clusters", kExperts);
  const EnsembleReport in_order = run(options);
  EnsembleEvalOptions moved =
      sparse_options(dir / "clusters", {"politics", "jargon", "fortunes", "perl"});
  EXPECT_NE(run(moved).eval.perplexity, in_order.eval.perplexity);
  for (const std::size_t cluster : {3, 1, 0, 2})
    moved.cluster.origins.push_back(ClusterOrigin{cluster, {}});
  const EnsembleReport matched = run(moved);
  EXPECT_NEAR(matched.eval.perplexity, in_order.eval.perplexity, 1e-6);
  for (std::size_t i = 0; i < matched.lines.size(); ++i) {
    const std::vector<double>& p = in_order.lines[i].posterior;
    expect_near(matched.lines[i].posterior, {p[3], p[1], p[0], p[2]}, 1e-9, "posterior");
  }
  moved.cluster.origins[0]->cluster = 4;
  expect_error<compat::UsageError>(
      [&] { run(moved); },
      "elm_politics/checkpoint_last.pt was trained for cluster 4, but --cluster-model has 4");
}

TEST(EnsembleEval, RefusesClustersThatDoNotFit) {
  const btm_test::TempDir dir;
  train_clusters(dir / "clusters");
  const auto refused = [&](const std::string& phrase, const std::vector<std::string>& experts,
                           const std::string& post_process, std::int64_t topk) {
    EnsembleEvalOptions options = short_options(experts);
    options.ensemble_type = EnsembleType::kClusterPrior;
    options.cluster.model =
        phrase.find("--cluster-model") == std::string::npos ? (dir / "clusters").string() : "";
    options.cluster.post_process = post_process;
    options.sparse = true;
    options.eval_topk = topk;
    expect_error<compat::UsageError>([&] { run(options); }, phrase);
  };
  refused("has 4 clusters for 2 experts", {"perl", "jargon"}, "", 1);
  refused("was made of pieces", kExperts, "sentencepiece", 1);
  refused("needs --cluster-model", kExperts, "", 1);
  refused("needs --eval-topk", kExperts, "", 0);
}

TEST(EnsembleEval, RefusesWhatItCannotDo) {
  const auto refused = [](const std::string& phrase,
                          const std::function<void(EnsembleEvalOptions&)>& change) {
    EnsembleEvalOptions options = short_options();
    change(options);
    expect_error<compat::UsageError>([&] { run(options); }, phrase);
  };
  refused("cached_prior needs --precomputed-prior",
          [](auto& o) { o.ensemble_type = EnsembleType::kCachedPrior; });
  refused("3 probabilities for 4 experts", [](auto& o) {
    o.ensemble_type = EnsembleType::kCachedPrior, o.precomputed_prior = "0.5,0.25,0.25";
  });
  refused("'nan', expected a probability", [](auto& o) {
    o.ensemble_type = EnsembleType::kCachedPrior, o.precomputed_prior = "nan,0,0,1";
  });
  refused("'-1', expected a probability", [](auto& o) {
    o.ensemble_type = EnsembleType::kCachedPrior, o.precomputed_prior = "-1,0,1,1";
  });
  refused("'', expected a probability", [](auto& o) {
    o.ensemble_type = EnsembleType::kCachedPrior, o.precomputed_prior = "0.5,,0.25,0.25";
  });
  refused("the sum is 0.9", [](auto& o) {
    o.ensemble_type = EnsembleType::kCachedPrior, o.precomputed_prior = "0.2,0.2,0.2,0.3";
  });
  refused("--sparse needs a prior", [](auto& o) { o.sparse = true; });
  refused("--path is missing", [](auto& o) { o.path = ""; });
}

TEST(EnsembleEval, RefusesAnExpertOfAnotherDictionaryBeforeAnyRuns) {
  EnsembleEvalOptions options = short_options({"fortunes"});
  options.path += ":" + golden("checkpoints/demix_fork/dense/checkpoint_last.pt").string();
  EnsembleObserver observer;
  observer.progress = [](const EnsembleProgress&) { FAIL() << "an expert was run"; };
  expect_error<compat::FormatError>([&] { run(options, observer); }, "does not fit the model");
}

}  // namespace
}  // namespace btm
