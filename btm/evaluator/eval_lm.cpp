#include "btm/evaluator/eval_lm.h"

#include <algorithm>
#include <chrono>

#include "btm/data/dictionary_doubts.h"
#include "btm/evaluator/eval_data.h"
#include "btm/evaluator/load_scorer.h"
#include "btm/evaluator/score_accumulator.h"
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

Ensemble load_ensemble(const std::vector<std::string>& paths, const EvalLmOptions& options,
                       const EvalData& data) {
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

  EvalData data(options.data);
  observer.log("loading model(s) from " + options.path);
  const Ensemble ensemble = load_ensemble(paths, options, data);
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
  log_results(report, options.data, observer);
  if (!ensemble.keeps_digests) warn_of_doubts(options, report, data, observer);
  return report;
}

}  // namespace btm
