#include "btm/ensemble/ensemble_eval.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <deque>
#include <numbers>
#include <optional>

#include "btm/data/dictionary_doubts.h"
#include "btm/distributed/communicator.h"
#include "btm/ensemble/expert_scores.h"
#include "btm/ensemble/mix_batch.h"
#include "btm/ensemble/mixture.h"
#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/evaluator/score_accumulator.h"
#include "compat/error.h"
#include "compat/text.h"

namespace btm {
namespace {

/// What the ensemble believes of its experts before it sees a block. E of the N experts take part.
class Prior {
 public:
  Prior(const EnsembleEvalOptions& options, std::span<const std::string> paths, const compat::Dictionary& dictionary);

  PosteriorRule rule() const noexcept { return rule_; }
  /// Whether experts of prior 0 are not run.
  bool sparse() const noexcept { return sparse_; }
  /// The experts that take part, ascending.
  const std::vector<std::size_t>& active() const noexcept { return active_; }
  /// [E], or [L * E]: of a row of the next batch.
  std::vector<double> log_prior(const Batch& batch, std::int64_t row, std::size_t length) const;
  /// [N] the rows in which each expert has a weight.
  std::vector<RowSelection> select_rows(const EvalData& data) const;
  /// Takes in the posterior [N] of a batch. Returns the release's exp_avg_posterior [N].
  const std::vector<double>& update(const std::vector<double>& posterior);

 private:
  PosteriorRule rule_;
  std::vector<double> reported_;  ///< [N] the given prior; empty: the mean of the posteriors is reported
  std::vector<double> prior_;     ///< [N] as it is now
  bool updating_, sparse_;
  std::optional<ClusterPrior> clusters_;
  ExponentialMean mean_;
  std::vector<std::size_t> active_;
};

std::string checked_type(const std::string& type) {
  constexpr std::array<std::string_view, 5> kTypes{"cached_prior", "updating_prior", "uniform_prior", "simple_average", "cluster_prior"};
  if (std::ranges::find(kTypes, type) == kTypes.end())
    throw compat::UsageError("--ensemble-type " + (type.empty() ? "is missing" : "'" + compat::printable(type) + "'") +
                             ", expected cached_prior, updating_prior, uniform_prior, simple_average or cluster_prior");
  return type;
}

PosteriorRule rule_of(const EnsembleEvalOptions& options) {
  if (options.ensemble_type == "simple_average") return PosteriorRule::kNone;
  if (options.posterior.empty()) return options.ensemble_type == "cluster_prior" ? PosteriorRule::kNone : PosteriorRule::kLast;
  return parse_posterior_rule(options.posterior);
}

Prior::Prior(const EnsembleEvalOptions& options, std::span<const std::string> paths, const compat::Dictionary& dictionary)
    : rule_(rule_of(options)), prior_(paths.size(), 1.0 / static_cast<double>(paths.size())), updating_(options.ensemble_type == "updating_prior"),
      sparse_(options.sparse) {
  const std::string type = checked_type(options.ensemble_type);
  const std::size_t experts = paths.size();
  if (type == "cluster_prior") {
    if (options.cluster.model.empty()) throw compat::UsageError("--ensemble-type cluster_prior needs --cluster-model");
    if (sparse_ && options.eval_topk == 0) throw compat::UsageError("--sparse with cluster_prior needs --eval-topk");
    clusters_.emplace(options.cluster, options.eval_topk, dictionary, paths);
  } else if (type == "uniform_prior") {
    reported_ = prior_;
  } else if (!options.precomputed_prior.empty() && !updating_) {
    reported_ = top_k_prior(parse_prior(options.precomputed_prior, experts), options.eval_topk);
  }
  if (type == "cached_prior") {
    if (reported_.empty()) throw compat::UsageError("--ensemble-type cached_prior needs --precomputed-prior");
    prior_ = reported_;
  }
  if (sparse_ && !clusters_ && reported_.empty())
    throw compat::UsageError("--sparse needs a prior that is known before the experts run: --precomputed-prior with cached_prior");
  for (std::size_t e = 0; e < experts; ++e)
    if (!sparse_ || clusters_ || reported_[e] > 0) active_.push_back(e);
}

std::vector<double> Prior::log_prior(const Batch& batch, std::int64_t row, std::size_t length) const {
  if (clusters_) return clusters_->log_prior(batch, row, length);
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
      const std::vector<double> logs = clusters_->log_prior(batch, row, scored_length(batch, row, data.dictionary().pad()));
      for (const std::size_t expert : experts_with_weight(logs, prior_.size())) selections[expert]->back().push_back(row);
    }
  }
  return selections;
}

const std::vector<double>& Prior::update(const std::vector<double>& posterior) {
  mean_.add(posterior);
  if (updating_) prior_ = mean_.value();
  return reported_.empty() ? mean_.value() : reported_;
}

struct CheckedExperts {
  std::int64_t positions = 0;             ///< That all of them have.
  std::vector<bool> keeps_digest = {};  ///< Of its dictionary; by place in `active`.
};

/// Checks every expert before the first one runs.
CheckedExperts check_experts(const std::vector<std::string>& paths, const std::vector<std::size_t>& active,
                             const EvalLmOptions& options, const EvalData& data, EvalLmReport& report) {
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

/// The experts of all ranks, seen from one: the place in `active` tells whose an expert is.
class ExpertGroup {
 public:
  ExpertGroup(const std::vector<std::string>& paths, const Prior& prior, const EvalLmOptions& options, const EvalData& data,
              const ScoreStore& store, Communicator& ranks)
      : ranks_(ranks), count_(prior.active().size()) {
    std::vector<RowSelection> rows = prior.select_rows(data);
    for (std::size_t i = static_cast<std::size_t>(ranks.rank()); i < count_; i += static_cast<std::size_t>(ranks.size())) {
      const std::size_t number = prior.active()[i];
      mine_.emplace_back(paths[number], options, data, store, std::move(rows[number]));
    }
  }

  std::deque<ExpertScores>& mine() noexcept { return mine_; }
  /// Adds up over all ranks what their experts did. Collective.
  void count_work(EnsembleReport& report);

  /// [E][B * T] of a batch that all experts of this rank have scored. Collective. Valid until the next call.
  std::vector<std::span<const float>> gather(const Batch& batch, std::size_t offset);

 private:
  Communicator& ranks_;
  std::size_t count_;
  std::deque<ExpertScores> mine_;  ///< They do not move.
  std::vector<std::vector<float>> received_;
};

std::vector<std::span<const float>> ExpertGroup::gather(const Batch& batch, std::size_t offset) {
  const auto size = static_cast<std::size_t>(batch.rows * batch.columns);
  std::string bytes;
  for (const ExpertScores& expert : mine_) {
    const std::span<const float> scores = expert.of(batch, offset);
    bytes.append(reinterpret_cast<const char*>(scores.data()), scores.size_bytes());
  }
  const std::vector<std::string> parts = ranks_.all_gather(bytes);
  received_.assign(count_, std::vector<float>(size));
  for (std::size_t i = 0; i < count_; ++i)
    std::memcpy(received_[i].data(), parts[i % parts.size()].data() + i / parts.size() * size * sizeof(float), size * sizeof(float));
  return {received_.begin(), received_.end()};
}

void ExpertGroup::count_work(EnsembleReport& report) {
  std::int64_t stored = 0, blocks = 0;
  for (const ExpertScores& expert : mine_) {
    stored += expert.stored() ? 1 : 0;
    blocks += expert.rows_run();
  }
  for (const std::string& part : ranks_.all_gather(std::to_string(stored) + " " + std::to_string(blocks))) {
    report.experts_stored += std::stoll(part);
    report.blocks_run += std::stoll(part.substr(part.find(' ')));
  }
}

/// Mixes batch after batch.
class Mixer {
 public:
  Mixer(const EvalLmOptions& options, Prior& prior, std::size_t experts, const EvalData& data,
        const EnsembleObserver& observer)
      : prior_(prior), losses_(prior.active().size()), experts_(experts), pad_(data.dictionary().pad()), observer_(observer),
        accumulator_(options, data.dictionary(), observer.eval) {}

  void add(const Batch& batch, const std::vector<std::span<const float>>& scores, EnsembleReport& report);
  std::vector<WordStat> word_stats() const { return accumulator_.word_stats(); }
  /// Mean loss of an expert alone (its place in prior.active()); NaN where it has not scored every row.
  double loss_base2(std::size_t place) const { return losses_[place] / static_cast<double>(targets_) / std::numbers::ln2; }

 private:
  Prior& prior_;
  std::vector<double> losses_;  ///< By place in prior.active(): natural log, summed over the targets.
  std::int64_t targets_ = 0;
  std::size_t experts_;
  std::int64_t pad_;
  const EnsembleObserver& observer_;
  ScoreAccumulator accumulator_;
};

void Mixer::add(const Batch& batch, const std::vector<std::span<const float>>& scores, EnsembleReport& report) {
  const auto log_prior = [&](std::int64_t row, std::size_t length) { return prior_.log_prior(batch, row, length); };
  const MixedBatch mixed = mix_batch(batch, scores, log_prior, prior_.rule(), pad_, prior_.sparse());
  EnsembleLine line;
  line.posterior.assign(experts_, 0.0);
  for (std::size_t i = 0; i < scores.size(); ++i) line.posterior[prior_.active()[i]] = mixed.posterior[i];
  for (std::size_t at = 0; at < batch.targets.size(); ++at) {
    if (batch.targets[at] == pad_ || static_cast<std::int64_t>(at) % batch.columns < batch.first_scored[at / static_cast<std::size_t>(batch.columns)]) continue;
    ++targets_;
    for (std::size_t i = 0; i < scores.size(); ++i) losses_[i] -= scores[i][at];
  }
  accumulator_.add(batch, mixed.log_probs, report.eval);
  observer_.mixed(batch, mixed.log_probs);
  line.ppl = report.eval.perplexity;
  line.exp_avg_posterior = prior_.update(line.posterior);
  report.lines.push_back(std::move(line));
}

/// Runs this rank's experts one after another. The last one's scores are mixed with the others' batch by batch.
void run_experts(ExpertGroup& group, const EvalData& data, Mixer& mixer, const EnsembleObserver& observer,
                 EnsembleReport& report) {
  const auto start = std::chrono::steady_clock::now();
  EnsembleProgress progress;
  progress.experts = static_cast<std::int64_t>(group.mine().size());
  progress.of = std::max<std::int64_t>(1, progress.experts) * data.num_batches();
  const std::int64_t pad = data.dictionary().pad();
  do {  // once even on a rank without an expert, which takes part in the mixing alone
    ExpertScores* const expert = progress.experts > 0 ? &group.mine()[static_cast<std::size_t>(progress.expert)] : nullptr;
    progress.mixing = ++progress.expert >= progress.experts;
    if (expert != nullptr) expert->start();
    std::size_t offset = 0;
    BatchReader reader(data);
    for (Batch batch; reader.next(batch); offset += static_cast<std::size_t>(batch.rows * batch.columns)) {
      score_padding_before_last(batch, pad);
      if (expert != nullptr) expert->score(batch);
      if (progress.mixing) mixer.add(batch, group.gather(batch, offset), report);
      report.eval.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      progress.perplexity = progress.mixing ? report.eval.perplexity : expert->perplexity();
      ++progress.done;
      observer.progress(progress);
    }
    if (expert != nullptr) expert->finish();
  } while (!progress.mixing);
}

}  // namespace

EnsembleReport ensemble_eval(const EnsembleEvalOptions& options, const EnsembleObserver& observer, Communicator& ranks) {
  const std::vector<std::string> paths = compat::split_at(options.eval.path, ':');
  if (paths.empty()) throw compat::UsageError("--path is missing, expected checkpoints joined by ':'");
  if (options.eval.num_threads > 0) at::set_num_threads(static_cast<int>(options.eval.num_threads));

  EnsembleReport report;
  EvalData data(options.eval);
  Prior prior(options, paths, data.dictionary());
  if (options.ensemble_type == "cluster_prior" && std::ranges::none_of(options.cluster.origins, &std::optional<ClusterOrigin>::has_value))
    observer.eval.warn("no expert tells which cluster it was trained for: they are taken to be in the order of clusters");
  observer.eval.log("loading model(s) from " + options.eval.path);
  const auto [positions, keeps_digest] = check_experts(paths, prior.active(), options.eval, data, report.eval);
  observer.eval.log("num. model params: " + grouped(report.eval.num_parameters));
  observer.eval.log(options.eval.data + " " + options.eval.gen_subset + " " + grouped(data.dataset().size()) + " examples");
  report.eval.skipped_samples = data.cut(positions);
  if (report.eval.skipped_samples > 0)
    observer.eval.warn(grouped(report.eval.skipped_samples) + " samples are left out, longer than the models' " +
                       std::to_string(positions) + " positions");

  std::optional<ScoreCache> cache;
  if (!options.score_cache.empty())
    cache.emplace(options.score_cache, static_cast<std::uint64_t>(options.score_cache_mib) << 20, observer.eval.warn);
  const ScoreStore store = store_for(data, cache ? &*cache : nullptr);
  ExpertGroup group(paths, prior, options.eval, data, store, ranks);
  Mixer mixer(options.eval, prior, paths.size(), data, observer);
  run_experts(group, data, mixer, observer, report);
  report.eval.word_stats = mixer.word_stats();
  group.count_work(report);
  if (report.experts_stored > 0)
    observer.eval.log("scores of " + std::to_string(report.experts_stored) + " of " + std::to_string(prior.active().size()) +
                      " experts come from " + options.score_cache);
  log_results(report.eval, observer.eval);
  if (std::ranges::find(keeps_digest, false) != keeps_digest.end())
    if (const std::string doubt = doubt_by_special_symbols(data.dictionary(), data.dictionary_file()); !doubt.empty()) observer.eval.warn(doubt);
  for (std::size_t i = 0; i < keeps_digest.size(); ++i)
    if (const std::string doubt = keeps_digest[i] ? "" : doubt_by_loss(paths[prior.active()[i]], mixer.loss_base2(i), data.dictionary(), data.dictionary_file());
        !doubt.empty())
      observer.eval.warn(doubt);
  return report;
}

}  // namespace btm
