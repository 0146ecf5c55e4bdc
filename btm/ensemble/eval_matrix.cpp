#include "btm/ensemble/eval_matrix.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <numbers>
#include <numeric>
#include <optional>
#include <utility>

#include "btm/data/dictionary_doubts.h"
#include "btm/data/multidomain.h"
#include "btm/ensemble/expert_average.h"
#include "btm/ensemble/expert_scores.h"
#include "btm/ensemble/matrix_rows.h"
#include "btm/ensemble/score_cache.h"
#include "btm/evaluator/byte_counts.h"
#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/evaluator/scorer.h"
#include "btm/model/active_parameters.h"
#include "compat/base/byte_reader.h"
#include "compat/base/error.h"
#include "compat/base/natural_order.h"
#include "compat/fairseq/indexed_dataset.h"
#include "compat/io/sha256.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

/// A split of a domain, cut in batches.
struct ScoredSet {
  std::string domain;
  std::string split;
  std::unique_ptr<EvalData> data;
  ScoreStore store;
  bool for_experts_only = false;  ///< It gives a prior.
};

/// The model of a row: a checkpoint, or the experts' average.
struct ScoredModel {
  std::string name, path, hash;
  bool is_expert = false;
  std::optional<compat::Checkpoint> checkpoint;  ///< Not of the average.
  std::vector<bool> needs = {};                  ///< By set: whether it is to be scored.
};

class Matrix {
 public:
  Matrix(const EvalMatrixOptions& options, const EvalMatrixObserver& observer)
      : options_(options),
        observer_(observer),
        folder_(options.folder),
        precision_(precision_for(options.machine)),
        cache_(options.cache, std::numeric_limits<std::uint64_t>::max(), observer.warn) {}

  ScoredMatrix run();

 private:
  void open_models();
  void open_sets();
  void add_set(const std::string& domain, const std::string& split, bool for_experts_only);
  void score_all();
  void score_model(ScoredModel& model, std::unique_ptr<TransformerLM> loaded);
  bool is_still(const ScoredModel& model) const;
  void look_up_scores();
  static bool needs_any(const ScoredModel& model) {
    return std::ranges::find(model.needs, true) != model.needs.end();
  }
  void keep_scores(const ScoredModel& model, const ScoredSet& set, std::vector<float> values);
  std::span<const float> scores(const ScoredModel& model, const ScoredSet& set) const;
  DomainSums domain_sums(const ScoredSet& set);
  void warn_of_doubts(const std::vector<DomainSums>& domains) const;
  std::vector<std::span<const float>> expert_scores(const ScoredSet& set) const;
  Posterior cluster_mixture(EnsembleType type, const compat::Dictionary& dictionary) const;
  const ScoredSet* prior_set_of(const std::string& domain) const;

  const EvalMatrixOptions& options_;
  const EvalMatrixObserver& observer_;
  fs::path folder_;
  Precision precision_;
  ScoreCache cache_;  ///< Without limit: a run needs all its scores.
  std::vector<ScoredModel> models_;
  std::vector<ScoredSet> sets_;
  /// False after the cache could not keep scores. There is one warning, and the run goes on without
  /// the cache.
  bool keeps_ = true;
  std::map<std::pair<std::string, std::string>, Scores> scores_;  ///< By data and model.
  std::int64_t positions_ = 0, batches_done_ = 0, batches_ = 0;
  ScoredMatrix matrix_;
};

void Matrix::open_models() {
  const auto is_expert = [&](const std::string& name) {
    return std::ranges::find(options_.experts, name) != options_.experts.end();
  };
  const fs::path dictionary_file = folder_ / "dict.txt";
  compat::Dictionary dictionary = compat::Dictionary::load(dictionary_file);
  add_domain_tokens(dictionary, token_domains(options_.batching.domain_token, {}, {}));
  for (const auto& [name, path] : options_.models) {
    ScoredModel model{name, path, {}, is_expert(name), open_model(path, options_.model_overrides)};
    const auto outline = outline_model(*model.checkpoint, dictionary, dictionary_file.string());
    const std::int64_t here = outline->config().max_target_positions;
    positions_ = models_.empty() ? here : std::min(positions_, here);
    model.hash = cache_.model_digest(*model.checkpoint, precision_text(options_.machine));
    matrix_.rows.push_back({name,
                            MatrixRow::Kind::kModel,
                            path,
                            {},
                            {},
                            outline->num_parameters(),
                            active_parameters(*outline)});
    models_.push_back(std::move(model));
  }
  if (!options_.average) return;
  std::optional<AveragedModel> first;
  for (const ScoredModel& model : models_) {
    if (!model.is_expert) continue;
    AveragedModel here{model.name, outline_model(*model.checkpoint, dictionary, "dict.txt")};
    if (first)
      check_same_network(*first, here);
    else
      first = std::move(here);
  }
  ScoredModel average{"average", {}, "average", false, std::nullopt};
  for (const ScoredModel& model : models_)
    if (model.is_expert) average.hash += " " + model.hash;
  average.hash = compat::sha256_hex(compat::as_byte_span(average.hash));
  const MatrixRow& expert = *matrix_.find_row(options_.experts.front());
  matrix_.rows.push_back(
      {average.name, MatrixRow::Kind::kAverage, {}, {}, {}, expert.parameters, expert.active});
  models_.push_back(std::move(average));
}

void Matrix::add_set(const std::string& domain, const std::string& split, bool for_experts_only) {
  ScoredSet set{domain, domain_split(folder_, split, domain), nullptr, {}, for_experts_only};
  EvalDataOptions data;
  data.folder = options_.folder;
  data.task = "multidomain_language_modeling";
  data.eval_domains = domain;
  data.gen_subset = set.split;
  data.batching = options_.batching;
  if (for_experts_only) data.batching.max_samples = options_.prior_batches;
  set.data = std::make_unique<EvalData>(data);
  set.data->make_batches(positions_, [&](const std::string& line) {
    observer_.warn(compat::printable(domain) + ": " + line);
  });
  const bool updates =
      for_experts_only || std::ranges::find(options_.ensembles, EnsembleType::kUpdatingPrior) !=
                              options_.ensembles.end();
  if (updates && set.data->num_batches() == 1)
    observer_.warn(
        compat::printable(domain) + ": " + set.split +
        " is one batch, so that updating_prior never updates its prior (--batch-size makes more)");
  set.store = store_for(*set.data, &cache_);
  sets_.push_back(std::move(set));
}

void Matrix::open_sets() {
  matrix_.domains = options_.domains;
  if (matrix_.domains.empty())
    for (const std::string& domain : eval_domains(folder_, "")) {
      const std::string split = domain_split(folder_, options_.split, domain);
      if (compat::IndexedDataset::exists(folder_ / domain / split))
        matrix_.domains.push_back(domain);
      else if (const std::string there = splits_text(folder_ / domain); !there.empty())
        observer_.warn("domain folder '" + compat::printable(domain) +
                       "' is left out: it has neither " + compat::printable(split + "_" + domain) +
                       " nor " + compat::printable(split) + " (splits there: " + there + ")");
    }
  if (options_.domains.empty()) std::ranges::sort(matrix_.domains, compat::natural_less);
  if (matrix_.domains.empty())
    throw compat::IoError(folder_.string(),
                          "no domain has the split '" + compat::printable(options_.split) + "'");
  const bool wants_prior =
      std::ranges::find(options_.ensembles, EnsembleType::kCachedPrior) != options_.ensembles.end();
  for (const std::string& domain : matrix_.domains) {
    add_set(domain, options_.split, false);
    if (wants_prior) add_set(domain, options_.prior_split, true);
  }
}

void Matrix::score_model(ScoredModel& model, std::unique_ptr<TransformerLM> loaded) {
  ModelScorer scorer(model.name, std::move(loaded), precision_.device,
                     options_.machine.softmax_batch);
  for (std::size_t s = 0; s < sets_.size(); ++s) {
    if (!model.needs[s]) continue;
    const ScoredSet& set = sets_[s];
    std::vector<float> values;
    BatchDigest digest(set.data->dictionary());
    BatchReader reader(*set.data);
    for (Batch batch; reader.next(batch);) {
      digest.add(batch);
      score_padding_before_last(batch);
      const at::Tensor scored = [&] {
        try {
          return scorer.score(batch);
        } catch (const DivergedModel& error) {
          throw DivergedModel(
              model.name, error.target() + " of domain '" + compat::printable(set.domain) + "'");
        }
      }();
      const std::size_t offset = values.size();
      values.resize(offset + batch.size());
      take_scores(batch, all_rows(batch), {scored.const_data_ptr<float>(), batch.size()},
                  std::span(values).subspan(offset));
      observer_.progress(++batches_done_, batches_, model.name, set.domain);
    }
    ++matrix_.computed;
    if (digest.hex() != set.store.data)
      throw compat::IoError((folder_ / set.domain / set.split).string(),
                            "changed while it was evaluated; run again");
    keep_scores(model, set, std::move(values));
  }
}

/// Keeps scores in the cache if possible, where they need no memory.
void Matrix::keep_scores(const ScoredModel& model, const ScoredSet& set,
                         std::vector<float> values) {
  std::optional<Scores> kept;
  const bool still = is_still(model);
  if (still && keeps_) {
    keeps_ = cache_.store(set.store.data, model.hash, values);
    if (keeps_) kept = cache_.load(set.store.data, model.hash, set.store.columns);
  }
  scores_.insert_or_assign({set.store.data, model.hash},
                           kept ? *std::move(kept) : Scores(std::move(values)));
}

/// Whether the files of a model are still those that were hashed.
bool Matrix::is_still(const ScoredModel& model) const {
  const auto still = [&](const ScoredModel& from) {
    return cache_.is_still(*from.checkpoint, precision_text(options_.machine), from.hash);
  };
  if (model.checkpoint) return still(model);
  return std::ranges::all_of(
      models_, [&](const ScoredModel& from) { return !from.is_expert || still(from); });
}

void Matrix::look_up_scores() {
  for (ScoredModel& model : models_)
    for (const ScoredSet& set : sets_) {
      const bool wanted = model.is_expert || !set.for_experts_only;
      auto found = wanted ? cache_.load(set.store.data, model.hash, set.store.columns)
                          : std::optional<Scores>();
      model.needs.push_back(wanted && !found);
      if (found) {
        ++matrix_.reused;
        scores_.insert_or_assign({set.store.data, model.hash}, *std::move(found));
      }
      if (model.needs.back()) batches_ += set.data->num_batches();
    }
}

void Matrix::score_all() {
  const at::NoGradGuard no_grad;
  const compat::Dictionary& dictionary = sets_.front().data->dictionary();
  const std::string& dictionary_file = sets_.front().data->dictionary_file();
  look_up_scores();
  const bool needs_average = options_.average && needs_any(models_.back());
  const double weight = 1.0 / static_cast<double>(options_.experts.size());
  ParameterSum sum;
  Precision unpacked = precision_;  // packed weights cannot be summed
  unpacked.products = Products::kFp32;
  const auto score = [&](ScoredModel& model, std::unique_ptr<TransformerLM> loaded) {
    if (precision_.products != Products::kFp32) loaded->pack(precision_.products);
    score_model(model, std::move(loaded));
  };
  for (ScoredModel& model : models_) {
    if (!model.checkpoint) continue;
    const bool adds = needs_average && model.is_expert;
    if (!adds && !needs_any(model)) continue;
    auto loaded = load_model(*model.checkpoint, dictionary, dictionary_file, unpacked);
    if (adds) sum.add(*loaded, weight);
    if (needs_any(model)) score(model, std::move(loaded));
  }
  if (!needs_average) return;
  const auto first = std::ranges::find_if(models_, &ScoredModel::is_expert);
  auto average = outline_model(*first->checkpoint, dictionary, dictionary_file);
  sum.assign_to(*average, unpacked);
  score(models_.back(), std::move(average));
}

std::span<const float> Matrix::scores(const ScoredModel& model, const ScoredSet& set) const {
  return scores_.at({set.store.data, model.hash}).values();
}

std::vector<std::span<const float>> Matrix::expert_scores(const ScoredSet& set) const {
  std::vector<std::span<const float>> all;
  for (const std::string& name : options_.experts)
    all.push_back(scores(*std::ranges::find(models_, name, &ScoredModel::name), set));
  return all;
}

const ScoredSet* Matrix::prior_set_of(const std::string& domain) const {
  for (const ScoredSet& set : sets_)
    if (set.for_experts_only && set.domain == domain) return &set;
  return nullptr;
}

/// Keeps a reference to `dictionary`.
Posterior Matrix::cluster_mixture(EnsembleType type, const compat::Dictionary& dictionary) const {
  std::vector<compat::NamedModel> experts;
  for (const std::string& name : options_.experts)
    experts.push_back({name, std::ranges::find(models_, name, &ScoredModel::name)->path});
  MixtureOptions options = options_.cluster_prior;
  options.ensemble_type = type;
  return make_posterior(options, experts, dictionary);
}

DomainSums Matrix::domain_sums(const ScoredSet& set) {
  DomainSums sums;
  for (const ScoredModel& model : models_)
    sums.rows.push_back(sum_scores(*set.data, scores(model, set)));
  if (const auto given = options_.bytes.find(set.domain); given != options_.bytes.end())
    sums.total_bytes = given->second;
  const auto counts =
      options_.gpt2_encoder_json.empty()
          ? byte_counts(set.data->dictionary())
          : std::optional(gpt2_byte_counts(set.data->dictionary(), options_.gpt2_encoder_json));
  if (std::ranges::none_of(sums.rows.front().tokens,
                           [](std::int64_t tokens) { return tokens > 0; }))
    throw compat::IoError((folder_ / set.domain / set.split).string(),
                          "has no target that is not padding");
  if (counts) sums.bytes = sum_bytes(*set.data, *counts);
  if (options_.experts.empty()) return sums;

  DomainPosterior posterior;
  const auto experts = expert_scores(set);
  const auto mixture = [&](EnsembleType type) {
    if (depends_on_text(type)) return cluster_mixture(type, set.data->dictionary());
    const PosteriorRule rule = type == EnsembleType::kSimpleAverage ? PosteriorRule::kNone
                               : type == EnsembleType::kBayes       ? PosteriorRule::kLast
                                                                    : options_.posterior;
    return Posterior(Prior::of_type(type, experts.size(), posterior.cached_prior), rule);
  };
  const Posterior updating = mixture(EnsembleType::kUpdatingPrior);
  posterior.batches = run_ensemble(*set.data, experts, updating).posteriors;
  if (const ScoredSet* prior = prior_set_of(set.domain))
    posterior.cached_prior =
        run_ensemble(*prior->data, expert_scores(*prior), updating).mean_posterior;
  for (const EnsembleType type : options_.ensembles)
    sums.rows.push_back(run_ensemble(*set.data, experts, mixture(type)).sums);
  matrix_.posteriors.push_back(std::move(posterior));
  return sums;
}

/// Warnings about models that keep no digest of their dictionary.
void Matrix::warn_of_doubts(const std::vector<DomainSums>& domains) const {
  const EvalData& data = *sets_.front().data;
  bool all_known = true;
  for (std::size_t r = 0; r < models_.size(); ++r) {
    if (!models_[r].checkpoint || !models_[r].checkpoint->dictionary().sha256.empty()) continue;
    all_known = false;
    double loss = 0, tokens = 0;
    for (const DomainSums& domain : domains) {
      loss = std::accumulate(domain.rows[r].loss.begin(), domain.rows[r].loss.end(), loss);
      tokens = std::accumulate(domain.rows[r].tokens.begin(), domain.rows[r].tokens.end(), tokens);
    }
    if (const std::string doubt = doubt_by_loss(models_[r].path, loss / tokens / std::numbers::ln2,
                                                data.dictionary(), data.dictionary_file());
        !doubt.empty())
      observer_.warn(doubt);
  }
  const std::string doubt =
      all_known ? "" : doubt_by_special_symbols(data.dictionary(), data.dictionary_file());
  if (!doubt.empty()) observer_.warn(doubt);
}

ScoredMatrix Matrix::run() {
  open_models();
  open_sets();
  matrix_.experts = options_.experts;
  matrix_.data = options_.folder;
  matrix_.split = options_.split;
  matrix_.tokens_per_sample = options_.batching.tokens_per_sample;
  matrix_.precision = precision_name(options_.machine);
  matrix_.block_tokens = options_.block_tokens;
  matrix_.fewest_blocks = kFewestBlocks;
  std::int64_t parameters = 0, active = 0;
  for (const std::string& name : options_.experts) {
    parameters += matrix_.find_row(name)->parameters;
    active += matrix_.find_row(name)->active;
  }
  for (const EnsembleType type : options_.ensembles)
    matrix_.rows.push_back(
        {row_name(type), MatrixRow::Kind::kEnsemble, {}, {}, {}, parameters, active});
  if (!options_.baseline.empty())
    matrix_.baseline = static_cast<std::size_t>(
        std::ranges::find(matrix_.rows, options_.baseline, &MatrixRow::name) -
        matrix_.rows.begin());
  if (matrix_.baseline >= matrix_.rows.size())
    throw compat::UsageError("--baseline '" + compat::printable(options_.baseline) +
                             "' is not a row of the matrix");
  score_all();
  std::vector<DomainSums> domains;
  for (const ScoredSet& set : sets_)
    if (!set.for_experts_only) domains.push_back(domain_sums(set));
  warn_of_doubts(domains);
  fill_rows(matrix_, domains, options_);
  return std::move(matrix_);
}

}  // namespace

ScoredMatrix eval_matrix(const EvalMatrixOptions& given, const EvalMatrixObserver& observer) {
  check_matrix_options(given);
  precision_for(given.machine);  // refuses what contradicts itself before anything is opened
  use_threads(given.machine);
  EvalMatrixOptions options = given;
  std::vector<std::string> paths;
  for (const auto& [name, path] : options.models) paths.push_back(path);
  options.batching = with_model_defaults(given.batching, paths, given.model_overrides);
  check_domain_tokens(options.batching.domain_token, /*multidomain=*/true);
  if (options.batching.domain_token.add && options.batching.domain_token.original_domains.empty())
    throw compat::UsageError(
        "--add-domain-token needs --original-domains: the models do not name the domains that they "
        "were trained on");
  std::vector<std::string> left_out;
  for (;;) {
    try {
      ScoredMatrix matrix = Matrix(options, observer).run();
      matrix.left_out = left_out;
      return matrix;
    } catch (const DivergedModel& error) {  // a new start is cheap: the scores so far are kept
      if (!options.skip_diverged) throw;
      observer.warn(std::string(error.what()) + "; it is left out");
      left_out.push_back(error.model());
      leave_out(error.model(), options);
    }
  }
}

}  // namespace btm
