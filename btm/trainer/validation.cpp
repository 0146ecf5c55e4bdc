#include "btm/trainer/validation.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"

namespace btm {
namespace {

LogRow validate_subset(Trainer& trainer, TrainLog& log, const ValidData& data,
                       CollateOptions collate, std::int64_t epoch) {
  const TrainOptions& options = trainer.options();
  if (options.task.pad_to_fixed_bsz) collate.fixed_rows = options.dataset.batch_size_valid;
  std::int64_t steps = data.steps;
  // As in fairseq, one batch more than the flag says.
  if (options.dataset.max_valid_steps > 0)
    steps = std::min(steps, options.dataset.max_valid_steps + 1);
  MetersDict meters;
  for (std::int64_t i = 0; i < steps && trainer.agreed_signal() == 0; ++i) {
    std::optional<DeviceBatch> batch;
    if (static_cast<std::size_t>(i) < data.batches.size())
      batch = prepare_batch(*data.dataset, data.batches[static_cast<std::size_t>(i)], 0, collate);
    trainer.valid_step(batch ? &*batch : nullptr, data.domain, meters);
    log.progress(epoch, data.subset, i + 1, steps);
  }
  return meters.row();
}

double metric_of(const LogRow& row, const std::string& metric) {
  const auto found = std::ranges::find(row, metric, [](const auto& entry) { return entry.first; });
  if (found == row.end() || !found->second)
    throw compat::UsageError("--best-checkpoint-metric '" + compat::printable(metric) +
                             "' is not among the validation's numbers");
  return *found->second;
}

}  // namespace

std::optional<double> validate(Trainer& trainer, TrainLog& log, const std::vector<ValidData>& sets,
                               const CollateOptions& collate, std::int64_t epoch,
                               std::optional<double> best) {
  const CheckpointOptions& checkpoint = trainer.options().checkpoint;
  const std::string& metric = checkpoint.best_checkpoint_metric;
  std::optional<double> first;
  for (const ValidData& data : sets) {
    log.info(kTrainName, "begin validation on \"" + data.subset + "\" subset");
    LogRow row = validate_subset(trainer, log, data, collate, epoch);
    if (trainer.agreed_signal() != 0) return std::nullopt;
    row.emplace_back("num_updates", static_cast<double>(trainer.num_updates()));
    if (!first) {
      first = metric_of(row, metric);
      if (!std::isfinite(*first))
        log.warn(kTrainName, "the " + compat::printable(metric) + " of \"" +
                                 compat::printable(data.subset) + "\" is " +
                                 compat::general(*first) +
                                 ", which cannot be the best: the model has diverged");
      if (best && std::isfinite(*first))
        row.emplace_back("best_" + metric, checkpoint.maximize_best_checkpoint_metric
                                               ? std::max(*best, *first)
                                               : std::min(*best, *first));
    }
    log.summary(data.subset, epoch, row, trainer.num_updates());
  }
  return first;
}

}  // namespace btm
