#include "btm/ensemble/ensemble_eval.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <future>
#include <iterator>
#include <list>
#include <memory>
#include <numbers>
#include <optional>

#include "btm/data/dictionary_doubts.h"
#include "btm/distributed/communicator.h"
#include "btm/ensemble/expert_scores.h"
#include "btm/ensemble/mix_batch.h"
#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/evaluator/score_accumulator.h"
#include "btm/mixing/posterior.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/checkpoint/named_models.h"
#include "compat/io/mapped_file.h"

namespace btm {

using compat::concat;
using compat::grouped;

namespace {

/// The mixture of a run, and the prior that the run reports. N experts.
class Ensemble {
 public:
  Ensemble(const EnsembleEvalOptions& options, std::span<const compat::NamedModel> experts,
           const compat::Dictionary& dictionary);

  const Posterior& posterior() const noexcept { return posterior_; }
  /// Whether experts of prior 0 are not run.
  bool sparse() const noexcept { return sparse_; }
  /// Takes `experts` out of the mixture.
  void leave_out(const std::vector<std::size_t>& experts);
  /// [N] the rows in which each expert has a weight. Nothing where it scores all rows.
  std::vector<RowSelection> select_rows(const EvalData& data) const;
  /// Updates the prior with the posterior [N] of a batch. Returns the release's exp_avg_posterior
  /// [N].
  const std::vector<double>& update(const std::vector<double>& posterior);

 private:
  bool sparse_;
  /// [N] a given prior, which the release reports unchanged. When it is empty, the mean of the
  /// posteriors is reported.
  std::vector<double> reported_;
  Posterior posterior_;
};

void check_mixture(const EnsembleEvalOptions& options) {
  if (options.combination == Combination::kProduct)
    throw compat::UsageError(
        "--combine product needs the whole distribution of every expert at once, and here experts "
        "run one after another and leave scores of targets alone: use btm score");
  if (depends_on_text(options.ensemble_type) && options.skip_diverged)
    throw compat::UsageError(compat::concat("--skip-diverged does not go with ",
                                            name_of(options.ensemble_type),
                                            ", whose experts are its clusters"));
}

Ensemble::Ensemble(const EnsembleEvalOptions& options, std::span<const compat::NamedModel> experts,
                   const compat::Dictionary& dictionary)
    : sparse_(options.sparse),
      reported_(given_prior(options, experts)),
      posterior_(make_posterior(options, experts, dictionary)) {}

std::vector<RowSelection> Ensemble::select_rows(const EvalData& data) const {
  std::vector<RowSelection> selections(posterior_.experts());
  if (posterior_.prior().text() == nullptr || !sparse_) return selections;
  for (RowSelection& selection : selections) selection.emplace();
  BatchReader reader(data);
  for (Batch batch; reader.next(batch);) {
    for (RowSelection& selection : selections) selection->emplace_back();
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      const std::vector<bool> has_weight = experts_of_row(posterior_, batch, row);
      for (std::size_t e = 0; e < has_weight.size(); ++e)
        if (has_weight[e]) selections[e]->back().push_back(row);
    }
  }
  return selections;
}

void Ensemble::leave_out(const std::vector<std::size_t>& experts) {
  if (experts.empty()) return;
  posterior_.prior().leave_out(experts);
  if (!reported_.empty()) remove_weights(reported_, experts);
}

const std::vector<double>& Ensemble::update(const std::vector<double>& posterior) {
  posterior_.prior().update(posterior);
  return reported_.empty() ? posterior_.prior().mean_posterior() : reported_;
}

struct CheckedExperts {
  std::int64_t positions = 0;            ///< The smallest number of all experts.
  std::vector<std::size_t> unsure = {};  ///< Experts without a digest of their dictionary.
};

/// Checks every expert before the first one runs.
CheckedExperts check_experts(const std::vector<std::string>& paths,
                             const std::vector<std::size_t>& active,
                             const std::string& model_overrides, const EvalData& data,
                             EvalLmReport& report) {
  CheckedExperts checked;
  for (const std::size_t e : active) {
    const compat::Checkpoint checkpoint = open_model(paths[e], model_overrides);
    const auto model = outline_model(checkpoint, data.dictionary(), data.dictionary_file());
    const std::int64_t here = model->config().max_target_positions;
    checked.positions = checked.positions == 0 ? here : std::min(checked.positions, here);
    if (checkpoint.dictionary().sha256.empty()) checked.unsure.push_back(e);
    if (e == active.front()) report.num_parameters = model->num_parameters();
  }
  return checked;
}

/// Checks the experts of the mixture, and cuts the data into batches that each of them can take.
CheckedExperts prepare(const EnsembleEvalOptions& options, const std::vector<std::string>& paths,
                       const Ensemble& ensemble, EvalData& data, EvalLmReport& report,
                       const EvalLmObserver& observer) {
  if (depends_on_text(options.ensemble_type) &&
      std::ranges::none_of(options.cluster.origins, &std::optional<ClusterOrigin>::has_value))
    observer.warn(
        "no expert tells which cluster it was trained for: they are taken to be in the order of "
        "clusters");
  observer.log("loading model(s) from " + compat::join(paths, ":"));
  const CheckedExperts checked = check_experts(paths, ensemble.posterior().prior().active(),
                                               options.model_overrides, data, report);
  observer.log("num. model params: " + grouped(report.num_parameters));
  observer.log(concat(options.data.folder, ' ', options.data.gen_subset, ' ',
                      grouped(data.dataset().size()), " examples"));
  const LeftOut left_out = data.make_batches(checked.positions, observer.warn);
  report.skipped_samples = left_out.samples;
  report.skipped_tokens = left_out.tokens;
  if (options.ensemble_type == EnsembleType::kUpdatingPrior && data.num_batches() == 1)
    observer.warn(
        "the data are one batch, so that updating_prior never updates its prior (--batch-size "
        "makes more)");
  return checked;
}

/// The experts of all ranks, seen from one.
class ExpertGroup {
 public:
  ExpertGroup(const std::vector<std::string>& paths, const Ensemble& ensemble,
              const ScoringSetup& setup, Communicator& ranks)
      : ranks_(ranks), experts_(paths.size()), active_(ensemble.posterior().prior().active()) {
    std::vector<RowSelection> rows = ensemble.select_rows(setup.data);
    for (std::size_t i = 0; i < active_.size(); ++i)
      if (owner_of(i) == ranks.rank())
        mine_.emplace_back(active_[i], paths[active_[i]], setup, std::move(rows[active_[i]]));
  }

  struct Member {
    template <class... Args>
    explicit Member(std::size_t place, Args&&... args)
        : number(place), scores(std::forward<Args>(args)...) {}
    std::size_t number;  ///< Of all N.
    ExpertScores scores;
    std::string problem = {};  ///< Why it diverged.
  };
  std::list<Member>& mine() noexcept { return mine_; }  ///< Their addresses do not change.
  /// Adds up the counts of all ranks in `report`. Collective.
  void count_work(EnsembleReport& report);
  /// Takes the experts with a problem out, on all ranks. Returns their numbers, ascending.
  /// Collective.
  std::vector<std::size_t> take_out_diverged();

  /// [N][B * T] the scores of a batch, empty for experts that do not take part. All experts of this
  /// rank have scored it. Collective. Valid until the next call.
  std::vector<std::span<const float>> gather(const Batch& batch, std::size_t offset);

 private:
  /// The rank that runs active_[i].
  int owner_of(std::size_t i) const {
    return static_cast<int>(i % static_cast<std::size_t>(ranks_.size()));
  }

  Communicator& ranks_;
  std::size_t experts_;              ///< N
  std::vector<std::size_t> active_;  ///< In the order in which the ranks share them.
  std::vector<std::size_t> diverged_;
  std::list<Member> mine_;
  std::vector<std::vector<float>> received_;
};

std::vector<std::size_t> ExpertGroup::take_out_diverged() {
  std::string found;
  for (const Member& member : mine_)
    if (!member.problem.empty()) compat::append(found, member.number, ' ');
  for (const std::string& part : ranks_.all_gather(found))
    for (const std::string& number : compat::split_at(part, ' '))
      diverged_.push_back(std::stoull(number));
  std::ranges::sort(diverged_);
  mine_.remove_if([](const Member& member) { return !member.problem.empty(); });
  return diverged_;
}

std::vector<std::span<const float>> ExpertGroup::gather(const Batch& batch, std::size_t offset) {
  const std::size_t size = batch.size();
  std::string bytes;
  for (const Member& member : mine_) {
    const std::span<const float> scores = member.scores.of(batch, offset);
    bytes.append(reinterpret_cast<const char*>(scores.data()), scores.size_bytes());
  }
  const std::vector<std::string> parts = ranks_.all_gather(bytes);
  std::vector<std::size_t> taken(parts.size(), 0);
  received_.assign(experts_, {});
  for (std::size_t i = 0; i < active_.size(); ++i) {
    if (std::ranges::binary_search(diverged_, active_[i])) continue;
    const auto owner = static_cast<std::size_t>(owner_of(i));
    std::vector<float>& scores = received_[active_[i]];
    scores.resize(size);
    std::memcpy(scores.data(), parts[owner].data() + taken[owner]++ * size * sizeof(float),
                size * sizeof(float));
  }
  return {received_.begin(), received_.end()};
}

void ExpertGroup::count_work(EnsembleReport& report) {
  std::int64_t stored = 0, blocks = 0;
  for (const Member& member : mine_) {
    stored += member.scores.stored() ? 1 : 0;
    blocks += member.scores.rows_run();
  }
  for (const std::string& part : ranks_.all_gather(concat(stored, ' ', blocks))) {
    report.experts_stored += std::stoll(part);
    report.blocks_run += std::stoll(part.substr(part.find(' ')));
  }
}

/// Adds up the losses of the ensemble and of each expert, batch after batch.
class EnsembleLosses {
 public:
  EnsembleLosses(Ensemble& ensemble, const EvalData& data, const EnsembleObserver& observer)
      : ensemble_(ensemble),
        losses_(ensemble.posterior().experts()),
        observer_(observer),
        accumulator_(words_, data.dictionary(), observer.eval) {}

  /// `scores` [N][B * T], empty for experts that do not take part.
  void add(const Batch& batch, const std::vector<std::span<const float>>& scores,
           EnsembleReport& report);
  std::vector<WordStat> word_stats() const { return accumulator_.word_stats(); }
  /// Mean loss of an expert alone; NaN where it has not scored every row.
  double loss_base2(std::size_t expert) const {
    return losses_[expert] / static_cast<double>(targets_) / std::numbers::ln2;
  }

 private:
  Ensemble& ensemble_;
  std::vector<double> losses_;  ///< [N] natural log, summed over the targets.
  std::int64_t targets_ = 0;
  const EnsembleObserver& observer_;
  WordOptions words_;  ///< Pieces are not joined.
  ScoreAccumulator accumulator_;
};

void EnsembleLosses::add(const Batch& batch, const std::vector<std::span<const float>>& scores,
                         EnsembleReport& report) {
  MixedBatch mixed = mix_batch(batch, scores, ensemble_.posterior(), ensemble_.sparse());
  batch.for_each_scored([&](std::int64_t, std::size_t at) {
    ++targets_;
    for (std::size_t e = 0; e < scores.size(); ++e)
      if (!scores[e].empty()) losses_[e] -= scores[e][at];
  });
  accumulator_.add(batch, mixed.log_probs, report.eval);
  observer_.mixed(batch, mixed.log_probs);
  observer_.scored(batch, scores);
  EnsembleLine line{report.eval.perplexity, std::move(mixed.posterior), {}};
  line.exp_avg_posterior = ensemble_.update(line.posterior);
  report.lines.push_back(std::move(line));
}

/// Calls `visit(batch, offset)` for every batch, after score_padding_before_last(). `offset` is the
/// number of columns in the batches before it.
template <class Visit>
void for_each_batch(const EvalData& data, Visit&& visit) {
  std::size_t offset = 0;
  BatchReader reader(data);
  for (Batch batch; reader.next(batch); offset += batch.size()) {
    score_padding_before_last(batch);
    visit(batch, offset);
  }
}

/// Runs this rank's experts one after another, and reads the next one's file meanwhile. With
/// `skip_diverged` a diverged expert is no error: its `problem` is set.
void run_experts(ExpertGroup& group, const EvalData& data, bool skip_diverged,
                 const EnsembleObserver& observer) {
  EnsembleProgress progress;
  progress.experts = static_cast<std::int64_t>(group.mine().size());
  progress.of = progress.experts * data.num_batches();
  std::future<void> reading;
  for (auto at = group.mine().begin(); at != group.mine().end(); ++at) {
    ExpertGroup::Member& member = *at;
    progress.done = progress.expert++ * data.num_batches();
    try {
      member.scores.start();
      if (const auto next = std::next(at); next != group.mine().end() && !member.scores.stored())
        reading = std::async(std::launch::async, compat::read_ahead, next->scores.path());
      for_each_batch(data, [&](const Batch& batch, std::size_t) {
        member.scores.score(batch);
        progress.perplexity = member.scores.perplexity();
        ++progress.done;
        observer.progress(progress);
      });
      member.scores.finish();
    } catch (const DivergedModel& error) {
      if (!skip_diverged) throw;
      member.problem = error.what();
      observer.eval.warn(member.problem + "; it is left out of the ensemble");
    }
  }
}

std::vector<std::string> names_of(const std::vector<compat::NamedModel>& models) {
  std::vector<std::string> names;
  for (const compat::NamedModel& model : models) names.push_back(model.name);
  return names;
}

void log_posterior(const EnsembleReport& report, const EvalLmObserver& observer) {
  std::string posterior;
  for (std::size_t e = 0; e < report.experts.size(); ++e)
    compat::append_item(posterior,
                        concat(compat::printable(report.experts[e]), ' ',
                               compat::decimal(report.lines.back().exp_avg_posterior[e], 4)));
  observer.log("posterior: " + posterior);
  for (const std::string& name : report.left_out)
    observer.log("left out, diverged: " + compat::printable(name));
}

/// Warnings about experts that keep no digest of their dictionary.
void warn_of_doubts(const std::vector<std::string>& paths, const CheckedExperts& checked,
                    const Ensemble& ensemble, const EnsembleLosses& losses, const EvalData& data,
                    const EvalLmObserver& observer) {
  const auto warn = [&](const std::string& doubt) {
    if (!doubt.empty()) observer.warn(doubt);
  };
  if (checked.unsure.empty()) return;
  warn(doubt_by_special_symbols(data.dictionary(), data.dictionary_file()));
  for (const std::size_t e : checked.unsure)
    if (ensemble.posterior().prior().takes_part(e))
      warn(
          doubt_by_loss(paths[e], losses.loss_base2(e), data.dictionary(), data.dictionary_file()));
}

}  // namespace

EnsembleReport ensemble_eval(const EnsembleEvalOptions& given, const EnsembleObserver& observer,
                             Communicator& ranks) {
  check_mixture(given);
  precision_for(given.machine);  // refuses what contradicts itself before anything is opened
  use_threads(given.machine);
  const std::vector<compat::NamedModel> models =
      compat::resolve_models(given.path, observer.eval.warn);
  const std::vector<std::string> paths = compat::paths_of(models);
  if (paths.empty()) throw compat::UsageError("--path is missing, expected models joined by ':'");
  EnsembleEvalOptions options = given;
  options.data.batching = with_model_defaults(given.data.batching, paths, given.model_overrides);

  EnsembleReport report;
  report.eval.precision = precision_name(options.machine);
  EvalData data(options.data);
  Ensemble ensemble(options, models, data.dictionary());
  const CheckedExperts checked =
      prepare(options, paths, ensemble, data, report.eval, observer.eval);

  std::optional<ScoreCache> cache;
  if (!options.score_cache.empty())
    cache.emplace(options.score_cache, static_cast<std::uint64_t>(options.score_cache_mib) << 20,
                  observer.eval.warn);
  const ScoreStore store = store_for(data, cache ? &*cache : nullptr);
  const auto start = std::chrono::steady_clock::now();
  ExpertGroup group(paths, ensemble, {options.model_overrides, options.machine, data, store},
                    ranks);
  run_experts(group, data, options.skip_diverged, observer);
  report.experts = names_of(models);
  if (options.skip_diverged) {
    const std::vector<std::size_t> diverged = group.take_out_diverged();
    ensemble.leave_out(diverged);
    for (const std::size_t e : diverged) report.left_out.push_back(report.experts[e]);
  }
  EnsembleLosses losses(ensemble, data, observer);
  for_each_batch(data, [&](const Batch& batch, std::size_t offset) {
    losses.add(batch, group.gather(batch, offset), report);
  });
  report.eval.word_stats = losses.word_stats();
  report.eval.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  group.count_work(report);
  if (report.experts_stored > 0)
    observer.eval.log(concat("scores of ", report.experts_stored, " of ",
                             ensemble.posterior().prior().active().size(), " experts come from ",
                             options.score_cache));
  log_results(report.eval, options.data, observer.eval);
  log_posterior(report, observer.eval);
  warn_of_doubts(paths, checked, ensemble, losses, data, observer.eval);
  return report;
}

}  // namespace btm
