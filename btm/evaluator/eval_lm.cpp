#include "btm/evaluator/eval_lm.h"

#include <algorithm>
#include <chrono>

#include "btm/data/dictionary_doubts.h"
#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/evaluator/score_accumulator.h"
#include "btm/model/fairseq_gating.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/named_models.h"

namespace btm {
namespace {

struct Ensemble {
  std::unique_ptr<Scorer> scorer;
  std::int64_t max_positions = 0, num_parameters = 0;
  bool keeps_digests = true;  ///< whether every model keeps a digest of its dictionary
};

using Gatings = std::vector<std::shared_ptr<FairseqGating>>;

/// How fairseq gates each model; none without --moe-gating fairseq. UnsupportedError for a model
/// without experts.
Gatings gatings_of(const std::vector<std::string>& paths, const EvalLmOptions& options) {
  Gatings gatings;
  if (!options.fairseq_gating) return gatings;
  for (const std::string& path : paths) {
    const compat::Checkpoint model = open_model(path, options.model_overrides);
    const TransformerConfig config = TransformerConfig::from(model.config());
    if (config.moe_freq == 0)
      throw compat::UnsupportedError(
          compat::printable(path, 4096) +
          ": is no mixture of experts; --moe-gating fairseq is for these");
    gatings.push_back(std::make_shared<FairseqGating>(
        model.config(), config.routing, static_cast<std::uint64_t>(options.data.seed)));
  }
  return gatings;
}

Ensemble load_ensemble(const std::vector<std::string>& paths, const EvalLmOptions& options,
                       const EvalData& data, const Gatings& gatings) {
  std::vector<std::unique_ptr<Scorer>> scorers;
  Ensemble ensemble;
  for (const std::string& path : paths) {
    const compat::Checkpoint checkpoint = open_model(path, options.model_overrides);
    ensemble.keeps_digests = ensemble.keeps_digests && !checkpoint.dictionary().sha256.empty();
    LoadedModel model = options.ema ? load_ema_scorer(checkpoint, options.machine, data)
                                    : load_scorer(checkpoint, options.machine, data);
    ensemble.max_positions = scorers.empty()
                                 ? model.max_positions
                                 : std::min(ensemble.max_positions, model.max_positions);
    if (scorers.empty()) ensemble.num_parameters = model.num_parameters;
    if (!gatings.empty()) model.scorer->set_gating(gatings[scorers.size()]);
    scorers.push_back(std::move(model.scorer));
  }
  ensemble.scorer = std::make_unique<AverageScorer>(std::move(scorers));
  return ensemble;
}

void run_batches(const WordOptions& words, const EvalLmObserver& observer, const EvalData& data,
                 Scorer& scorer, EvalLmReport& report) {
  ScoreAccumulator accumulator(words, data.dictionary(), observer);
  BatchReader reader(data);
  for (Batch batch; reader.next(batch);) {
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor scores = scorer.score(batch);
    report.seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    accumulator.add(
        batch, {scores.const_data_ptr<float>(), static_cast<std::size_t>(scores.numel())}, report);
    observer.progress(report.batches, data.num_batches(), report);
  }
  report.word_stats = accumulator.word_stats();
  if (const std::int64_t padding = accumulator.padding_amid_rows(); padding > 0)
    observer.warn(compat::grouped(padding) +
                  " targets are padding (<pad>) amid their rows and are not scored; "
                  "fairseq-eval-lm scores as many columns from the start of such rows, padding "
                  "among them, and prints another loss");
}

std::string share_over(const ChoiceCount& count) {
  const auto choices = static_cast<double>(std::max<std::int64_t>(count.choices, 1));
  return compat::decimal(100 * static_cast<double>(count.over_capacity) / choices, 1) + "%";
}

/// Says what the capacity and chance did to each mixture, and keeps it in the report.
void report_gating(const std::vector<std::string>& paths, const Gatings& gatings,
                   const EvalLmObserver& observer, EvalLmReport& report) {
  for (std::size_t i = 0; i < gatings.size(); ++i) {
    const FairseqGating& gating = *gatings[i];
    report.gating.push_back({paths[i], gating.capacity_fraction(), gating.second_expert(),
                             gating.first(), gating.second()});
    observer.log(compat::concat(
        "fairseq's gating of ", paths[i], ": over capacity were ", share_over(gating.first()),
        gating.second_expert().empty()
            ? " of the choices"
            : " of the first choices and " + share_over(gating.second()) + " of the second"));
    if (gating.draws())
      observer.warn(paths[i] +
                    ": the second expert depends on chance "
                    "(cfg.model.moe_second_expert_policy is '" +
                    gating.second_expert() +
                    "'): fairseq draws other numbers and prints another loss");
  }
}

/// Warnings about models that keep no digest of their dictionary.
void warn_of_doubts(const EvalLmOptions& options, const EvalLmReport& report, const EvalData& data,
                    const EvalLmObserver& observer) {
  const bool counts_words = !options.words.post_process.empty();  // the loss of a word has no bound
  for (const std::string& doubt :
       {doubt_by_special_symbols(data.dictionary(), data.dictionary_file()),
        counts_words ? ""
                     : doubt_by_loss(options.path, report.loss_base2, data.dictionary(),
                                     data.dictionary_file())})
    if (!doubt.empty()) observer.warn(doubt);
}

}  // namespace

EvalLmReport eval_lm(const EvalLmOptions& given, const EvalLmObserver& observer) {
  precision_for(given.machine);  // refuses what contradicts itself before anything is opened
  use_threads(given.machine);
  const std::vector<std::string> paths =
      compat::paths_of(compat::resolve_models(given.path, observer.warn));
  if (paths.empty()) throw compat::UsageError("--path is missing, expected a model");
  EvalLmOptions options = given;
  options.data.batching = with_model_defaults(given.data.batching, paths, given.model_overrides);

  const Gatings gatings = gatings_of(paths, options);
  EvalData data(options.data);
  observer.log("loading model(s) from " + options.path);
  const Ensemble ensemble = load_ensemble(paths, options, data, gatings);
  observer.log("num. model params: " + compat::grouped(ensemble.num_parameters));
  observer.log(compat::concat(options.data.folder, ' ', options.data.gen_subset, ' ',
                              compat::grouped(data.dataset().size()), " examples"));

  EvalLmReport report;
  report.num_parameters = ensemble.num_parameters;
  report.precision = precision_name(options.machine);
  const LeftOut left_out = data.make_batches(ensemble.max_positions, observer.warn);
  report.skipped_samples = left_out.samples;
  report.skipped_tokens = left_out.tokens;
  run_batches(options.words, observer, data, *ensemble.scorer, report);
  report_gating(paths, gatings, observer, report);
  log_results(report, options.data, observer);
  if (!ensemble.keeps_digests) warn_of_doubts(options, report, data, observer);
  return report;
}

}  // namespace btm
