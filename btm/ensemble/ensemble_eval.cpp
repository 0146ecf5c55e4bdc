#include "btm/ensemble/ensemble_eval.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <list>
#include <numbers>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>

#include "btm/data/dictionary_doubts.h"
#include "btm/data/scored_columns.h"
#include "btm/distributed/communicator.h"
#include "btm/ensemble/expert_scores.h"
#include "btm/ensemble/mix_batch.h"
#include "btm/ensemble/mixture.h"
#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/evaluator/score_accumulator.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"

namespace btm {
namespace {

/// What the ensemble believes of its experts before it sees a block. E of the N experts take part.
class Prior {
 public:
  Prior(const EnsembleEvalOptions& options, std::span<const std::string> paths,
        const compat::Dictionary& dictionary);

  PosteriorRule rule() const noexcept { return rule_; }
  /// Whether experts of prior 0 are not run.
  bool sparse() const noexcept { return sparse_; }
  /// The experts that take part, ascending.
  const std::vector<std::size_t>& active() const noexcept { return active_; }
  /// [E], or [L * E]: of a row of the next batch.
  std::vector<double> log_prior(const Batch& batch, std::int64_t row,
                                std::span<const std::int64_t> columns) const;
  /// Gives `experts` no part from now on; the others share their weight in proportion.
  /// std::runtime_error when none is left.
  void leave_out(const std::vector<std::size_t>& experts);
  /// [N] the rows in which each expert has a weight.
  std::vector<RowSelection> select_rows(const EvalData& data) const;
  /// Takes in the posterior [N] of a batch. Returns the release's exp_avg_posterior [N].
  const std::vector<double>& update(const std::vector<double>& posterior);

 private:
  PosteriorRule rule_;
  std::vector<double>
      reported_;  ///< [N] the given prior; empty: the mean of the posteriors is reported
  std::vector<double> prior_;  ///< [N] as it is now
  bool updating_, sparse_;
  std::optional<ClusterPrior> clusters_;
  ExponentialMean mean_;
  std::vector<std::size_t> active_;
};

std::string checked_type(const std::string& type) {
  constexpr std::array<std::string_view, 5> kTypes{
      "cached_prior", "updating_prior", "uniform_prior", "simple_average", "cluster_prior"};
  if (std::ranges::find(kTypes, type) == kTypes.end())
    throw compat::UsageError(
        "--ensemble-type " + (type.empty() ? "is missing" : "'" + compat::printable(type) + "'") +
        ", expected cached_prior, updating_prior, uniform_prior, simple_average or cluster_prior");
  return type;
}

PosteriorRule rule_of(const EnsembleEvalOptions& options) {
  if (options.ensemble_type == "simple_average") return PosteriorRule::kNone;
  if (options.posterior.empty())
    return options.ensemble_type == "cluster_prior" ? PosteriorRule::kNone : PosteriorRule::kLast;
  return parse_posterior_rule(options.posterior);
}

Prior::Prior(const EnsembleEvalOptions& options, std::span<const std::string> paths,
             const compat::Dictionary& dictionary)
    : rule_(rule_of(options)),
      prior_(paths.size(), 1.0 / static_cast<double>(paths.size())),
      updating_(options.ensemble_type == "updating_prior"),
      sparse_(options.sparse) {
  const std::string type = checked_type(options.ensemble_type);
  const std::size_t experts = paths.size();
  if (type == "cluster_prior") {
    if (options.cluster.model.empty())
      throw compat::UsageError("--ensemble-type cluster_prior needs --cluster-model");
    if (options.skip_diverged)
      throw compat::UsageError(
          "--skip-diverged does not go with cluster_prior, whose experts are its clusters");
    if (sparse_ && options.eval_topk == 0)
      throw compat::UsageError("--sparse with cluster_prior needs --eval-topk");
    clusters_.emplace(options.cluster, options.eval_topk, dictionary, paths);
  } else if (type == "uniform_prior") {
    reported_ = prior_;
  } else if (!options.precomputed_prior.empty() && !updating_) {
    reported_ = top_k_prior(parse_prior(options.precomputed_prior, experts), options.eval_topk);
  }
  if (type == "cached_prior") {
    if (reported_.empty())
      throw compat::UsageError("--ensemble-type cached_prior needs --precomputed-prior");
    prior_ = reported_;
  }
  if (sparse_ && !clusters_ && reported_.empty())
    throw compat::UsageError(
        "--sparse needs a prior that is known before the experts run: --precomputed-prior with "
        "cached_prior");
  for (std::size_t e = 0; e < experts; ++e)
    if (!sparse_ || clusters_ || reported_[e] > 0) active_.push_back(e);
}

std::vector<double> Prior::log_prior(const Batch& batch, std::int64_t row,
                                     std::span<const std::int64_t> columns) const {
  if (clusters_) return clusters_->log_prior(batch, row, columns);
  std::vector<double> prior;
  for (const std::size_t e : active_) prior.push_back(prior_[e]);
  return log_of(prior);
}

std::vector<RowSelection> Prior::select_rows(const EvalData& data) const {
  std::vector<RowSelection> selections(prior_.size());
  if (!clusters_ || !sparse_) return selections;
  for (RowSelection& selection : selections) selection.emplace();
  BatchReader reader(data);
  for (Batch batch; reader.next(batch);) {
    for (RowSelection& selection : selections) selection->emplace_back();
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      const std::vector<double> logs =
          clusters_->log_prior(batch, row, scored_columns(batch, row, data.dictionary().pad()));
      for (const std::size_t expert : experts_with_weight(logs, prior_.size()))
        selections[expert]->back().push_back(row);
    }
  }
  return selections;
}

void Prior::leave_out(const std::vector<std::size_t>& experts) {
  if (experts.empty()) return;
  for (std::vector<double>* const prior : {&prior_, &reported_}) {
    if (prior->empty()) continue;
    for (const std::size_t e : experts) (*prior)[e] = 0;
    const double sum = std::accumulate(prior->begin(), prior->end(), 0.0);
    if (!(sum > 0))
      throw std::runtime_error("every expert that has a weight diverged: there is no ensemble");
    for (double& weight : *prior) weight /= sum;
  }
  std::erase_if(active_,
                [&](std::size_t e) { return std::ranges::find(experts, e) != experts.end(); });
}

const std::vector<double>& Prior::update(const std::vector<double>& posterior) {
  mean_.add(posterior);
  if (updating_) prior_ = mean_.value();
  return reported_.empty() ? mean_.value() : reported_;
}

struct CheckedExperts {
  std::int64_t positions = 0;           ///< That all of them have.
  std::vector<bool> keeps_digest = {};  ///< Of its dictionary; by place in `active`.
};

/// Checks every expert before the first one runs.
CheckedExperts check_experts(const std::vector<std::string>& paths,
                             const std::vector<std::size_t>& active, const EvalLmOptions& options,
                             const EvalData& data, EvalLmReport& report) {
  CheckedExperts checked;
  for (const std::size_t e : active) {
    const compat::Checkpoint checkpoint = open_model(paths[e], options);
    const auto model = outline_model(checkpoint, data.dictionary(), data.dictionary_file());
    const std::int64_t here = model->config().max_target_positions;
    checked.positions = checked.positions == 0 ? here : std::min(checked.positions, here);
    checked.keeps_digest.push_back(!checkpoint.dictionary().sha256.empty());
    if (e == active.front()) report.num_parameters = model->num_parameters();
  }
  return checked;
}

/// The experts of all ranks, seen from one.
class ExpertGroup {
 public:
  ExpertGroup(const std::vector<std::string>& paths, const Prior& prior,
              const EvalLmOptions& options, const EvalData& data, const ScoreStore& store,
              Communicator& ranks)
      : ranks_(ranks), active_(prior.active()) {
    std::vector<RowSelection> rows = prior.select_rows(data);
    for (std::size_t i = 0; i < active_.size(); ++i)
      if (owner_of(i) == ranks.rank())
        mine_.emplace_back(active_[i], paths[active_[i]], options, data, store,
                           std::move(rows[active_[i]]));
  }

  struct Member {
    template <class... Args>
    explicit Member(std::size_t place, Args&&... args)
        : number(place), scores(std::forward<Args>(args)...) {}
    std::size_t number;  ///< Of all N.
    ExpertScores scores;
    std::string problem = {};  ///< Why it diverged.
  };
  std::list<Member>& mine() noexcept { return mine_; }  ///< They do not move.
  /// Adds up over all ranks what their experts did. Collective.
  void count_work(EnsembleReport& report);
  /// Takes out the experts that have a problem, of all ranks, and returns their numbers, ascending.
  /// Collective.
  std::vector<std::size_t> take_out_diverged();

  /// [E][B * T] of a batch that all experts of this rank have scored. Collective. Valid until the
  /// next call.
  std::vector<std::span<const float>> gather(const Batch& batch, std::size_t offset);

 private:
  /// The rank that runs active_[i].
  int owner_of(std::size_t i) const {
    return static_cast<int>(i % static_cast<std::size_t>(ranks_.size()));
  }

  Communicator& ranks_;
  std::vector<std::size_t> active_;  ///< As they were dealt to the ranks.
  std::vector<std::size_t> diverged_;
  std::list<Member> mine_;
  std::vector<std::vector<float>> received_;
};

std::vector<std::size_t> ExpertGroup::take_out_diverged() {
  std::string found;
  for (const Member& member : mine_)
    if (!member.problem.empty()) found += std::to_string(member.number) + " ";
  for (const std::string& part : ranks_.all_gather(found))
    for (const std::string& number : compat::split_at(part, ' '))
      diverged_.push_back(std::stoull(number));
  std::ranges::sort(diverged_);
  mine_.remove_if([](const Member& member) { return !member.problem.empty(); });
  return diverged_;
}

std::vector<std::span<const float>> ExpertGroup::gather(const Batch& batch, std::size_t offset) {
  const auto size = static_cast<std::size_t>(batch.rows * batch.columns);
  std::string bytes;
  for (const Member& member : mine_) {
    const std::span<const float> scores = member.scores.of(batch, offset);
    bytes.append(reinterpret_cast<const char*>(scores.data()), scores.size_bytes());
  }
  const std::vector<std::string> parts = ranks_.all_gather(bytes);
  std::vector<std::size_t> taken(parts.size(), 0);
  received_.clear();
  for (std::size_t i = 0; i < active_.size(); ++i) {
    if (std::ranges::binary_search(diverged_, active_[i])) continue;
    const auto owner = static_cast<std::size_t>(owner_of(i));
    received_.emplace_back(size);
    std::memcpy(received_.back().data(),
                parts[owner].data() + taken[owner]++ * size * sizeof(float), size * sizeof(float));
  }
  return {received_.begin(), received_.end()};
}

void ExpertGroup::count_work(EnsembleReport& report) {
  std::int64_t stored = 0, blocks = 0;
  for (const Member& member : mine_) {
    stored += member.scores.stored() ? 1 : 0;
    blocks += member.scores.rows_run();
  }
  for (const std::string& part :
       ranks_.all_gather(std::to_string(stored) + " " + std::to_string(blocks))) {
    report.experts_stored += std::stoll(part);
    report.blocks_run += std::stoll(part.substr(part.find(' ')));
  }
}

/// Mixes batch after batch.
class Mixer {
 public:
  Mixer(const EvalLmOptions& options, Prior& prior, std::size_t experts, const EvalData& data,
        const EnsembleObserver& observer)
      : prior_(prior),
        losses_(prior.active().size()),
        experts_(experts),
        pad_(data.dictionary().pad()),
        observer_(observer),
        accumulator_(options, data.dictionary(), observer.eval) {}

  void add(const Batch& batch, const std::vector<std::span<const float>>& scores,
           EnsembleReport& report);
  std::vector<WordStat> word_stats() const { return accumulator_.word_stats(); }
  /// Mean loss of an expert alone (its place in prior.active()); NaN where it has not scored every
  /// row.
  double loss_base2(std::size_t place) const {
    return losses_[place] / static_cast<double>(targets_) / std::numbers::ln2;
  }

 private:
  Prior& prior_;
  std::vector<double>
      losses_;  ///< By place in prior.active(): natural log, summed over the targets.
  std::int64_t targets_ = 0;
  std::size_t experts_;
  std::int64_t pad_;
  const EnsembleObserver& observer_;
  ScoreAccumulator accumulator_;
};

void Mixer::add(const Batch& batch, const std::vector<std::span<const float>>& scores,
                EnsembleReport& report) {
  const auto log_prior = [&](std::int64_t row, std::span<const std::int64_t> columns) {
    return prior_.log_prior(batch, row, columns);
  };
  const MixedBatch mixed =
      mix_batch(batch, scores, log_prior, prior_.rule(), pad_, prior_.sparse());
  EnsembleLine line;
  line.posterior.assign(experts_, 0.0);
  for (std::size_t i = 0; i < scores.size(); ++i)
    line.posterior[prior_.active()[i]] = mixed.posterior[i];
  for (std::int64_t row = 0; row < batch.rows; ++row) {
    const std::vector<std::int64_t> columns = scored_columns(batch, row, pad_);
    targets_ += static_cast<std::int64_t>(columns.size());
    for (const std::int64_t column : columns)
      for (std::size_t i = 0; i < scores.size(); ++i)
        losses_[i] -= scores[i][static_cast<std::size_t>(row * batch.columns + column)];
  }
  accumulator_.add(batch, mixed.log_probs, report.eval);
  observer_.mixed(batch, mixed.log_probs);
  line.ppl = report.eval.perplexity;
  line.exp_avg_posterior = prior_.update(line.posterior);
  report.lines.push_back(std::move(line));
}

/// Calls `visit(batch, offset)` for every batch, which score_padding_before_last() has marked;
/// `offset` are the columns before it.
template <class Visit>
void for_each_batch(const EvalData& data, Visit&& visit) {
  std::size_t offset = 0;
  BatchReader reader(data);
  for (Batch batch; reader.next(batch); offset += batch.targets.size()) {
    score_padding_before_last(batch, data.dictionary().pad());
    visit(batch, offset);
  }
}

/// Runs this rank's experts one after another. With `skip_diverged` those that diverged get a
/// problem.
void run_experts(ExpertGroup& group, const EvalData& data, bool skip_diverged,
                 const EnsembleObserver& observer) {
  EnsembleProgress progress;
  progress.experts = static_cast<std::int64_t>(group.mine().size());
  progress.of = progress.experts * data.num_batches();
  for (ExpertGroup::Member& member : group.mine()) {
    progress.done = progress.expert++ * data.num_batches();
    try {
      member.scores.start();
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

/// What tells the experts apart: the folder of a checkpoint_last.pt, the name of another file;
/// whole paths where these are not unique.
std::vector<std::string> short_names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::filesystem::path path : paths) {
    const std::string folder = path.parent_path().filename().string();
    names.push_back(
        path.filename() == "checkpoint_last.pt" && !folder.empty() ? folder : path.stem().string());
  }
  const std::set<std::string> unique(names.begin(), names.end());
  return unique.size() == names.size() ? names : paths;
}

}  // namespace

EnsembleReport ensemble_eval(const EnsembleEvalOptions& given, const EnsembleObserver& observer,
                             Communicator& ranks) {
  const std::vector<std::string> paths = compat::split_at(given.eval.path, ':');
  if (paths.empty())
    throw compat::UsageError("--path is missing, expected checkpoints joined by ':'");
  EnsembleEvalOptions options = given;
  options.eval = with_sample_length(given.eval, paths);
  if (options.eval.num_threads > 0) at::set_num_threads(static_cast<int>(options.eval.num_threads));

  EnsembleReport report;
  EvalData data(options.eval);
  Prior prior(options, paths, data.dictionary());
  if (options.ensemble_type == "cluster_prior" &&
      std::ranges::none_of(options.cluster.origins, &std::optional<ClusterOrigin>::has_value))
    observer.eval.warn(
        "no expert tells which cluster it was trained for: they are taken to be in the order of "
        "clusters");
  observer.eval.log("loading model(s) from " + options.eval.path);
  const auto [positions, keeps_digest] =
      check_experts(paths, prior.active(), options.eval, data, report.eval);
  const std::vector<std::size_t> checked = prior.active();
  observer.eval.log("num. model params: " + grouped(report.eval.num_parameters));
  observer.eval.log(options.eval.data + " " + options.eval.gen_subset + " " +
                    grouped(data.dataset().size()) + " examples");
  const LeftOut left_out = data.make_batches(positions, observer.eval.warn);
  report.eval.skipped_samples = left_out.samples;
  report.eval.skipped_tokens = left_out.tokens;
  if (options.ensemble_type == "updating_prior" && data.num_batches() == 1)
    observer.eval.warn(
        "the data are one batch, so that updating_prior never updates its prior (--batch-size "
        "makes more)");

  std::optional<ScoreCache> cache;
  if (!options.score_cache.empty())
    cache.emplace(options.score_cache, static_cast<std::uint64_t>(options.score_cache_mib) << 20,
                  observer.eval.warn);
  const ScoreStore store = store_for(data, cache ? &*cache : nullptr);
  const auto start = std::chrono::steady_clock::now();
  ExpertGroup group(paths, prior, options.eval, data, store, ranks);
  run_experts(group, data, options.skip_diverged, observer);
  report.experts = short_names(paths);
  if (options.skip_diverged) {
    const std::vector<std::size_t> diverged = group.take_out_diverged();
    prior.leave_out(diverged);
    for (const std::size_t e : diverged) report.left_out.push_back(report.experts[e]);
  }
  Mixer mixer(options.eval, prior, paths.size(), data, observer);
  for_each_batch(data, [&](const Batch& batch, std::size_t offset) {
    mixer.add(batch, group.gather(batch, offset), report);
  });
  report.eval.word_stats = mixer.word_stats();
  report.eval.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  group.count_work(report);
  if (report.experts_stored > 0)
    observer.eval.log("scores of " + std::to_string(report.experts_stored) + " of " +
                      std::to_string(prior.active().size()) + " experts come from " +
                      options.score_cache);
  log_results(report.eval, options.eval, observer.eval);
  std::string posterior;
  for (std::size_t e = 0; e < report.experts.size(); ++e)
    posterior += (e > 0 ? ", " : "") + compat::printable(report.experts[e]) + " " +
                 compat::decimal(report.lines.back().exp_avg_posterior[e], 4);
  observer.eval.log("posterior: " + posterior);
  for (const std::string& name : report.left_out)
    observer.eval.log("left out, diverged: " + compat::printable(name));
  if (std::ranges::find(keeps_digest, false) != keeps_digest.end())
    if (const std::string doubt =
            doubt_by_special_symbols(data.dictionary(), data.dictionary_file());
        !doubt.empty())
      observer.eval.warn(doubt);
  for (std::size_t i = 0; i < checked.size(); ++i) {
    const auto mixed = std::ranges::find(prior.active(), checked[i]);
    if (keeps_digest[i] || mixed == prior.active().end()) continue;
    const double loss = mixer.loss_base2(static_cast<std::size_t>(mixed - prior.active().begin()));
    if (const std::string doubt =
            doubt_by_loss(paths[checked[i]], loss, data.dictionary(), data.dictionary_file());
        !doubt.empty())
      observer.eval.warn(doubt);
  }
  return report;
}

}  // namespace btm
