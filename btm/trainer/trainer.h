// The state of a training run and its two steps: an update, and the loss of a validation batch.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "btm/distributed/communicator.h"
#include "btm/distributed/expert_groups.h"
#include "btm/distributed/gradient_reducer.h"
#include "btm/trainer/ema.h"
#include "btm/trainer/epoch_batches.h"
#include "btm/trainer/forward_backward.h"
#include "btm/trainer/lr_schedule.h"
#include "btm/trainer/meters.h"
#include "btm/trainer/options.h"
#include "btm/trainer/parameter_optimizer.h"

namespace btm {

/// A loss or gradient is not finite, or fp16's loss scale fell to its minimum. Nothing was updated,
/// but for layers behind the first such gradient where each is updated by itself.
class DivergenceError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What one batch adds to the statistics.
struct BatchStats {
  std::int64_t domain = 0, tokens = 0, sentences = 0;
  double loss = 0, nll = 0;  ///< natural logs, summed: what is minimised, and -log p
};

class Trainer {
 public:
  /// Takes `model` with its initial weights and moves it to `device`. `world` must outlive this.
  /// options must be complete().
  Trainer(const TrainOptions& options, std::unique_ptr<TransformerLM> model, Communicator& world,
          at::Device device);

  void begin_epoch(std::int64_t epoch);
  /// After the epoch's last update and validation. All ranks have the same `val_loss`.
  void end_epoch(std::int64_t epoch, std::optional<double> val_loss);
  /// One update, the same on all ranks. False when fp16 gradients overflowed: only the loss scale
  /// changes, and no statistics are logged. DivergenceError names the batches.
  bool train_step(const UpdateBatches& batches);
  /// Adds the statistics of all ranks' validation batches to `meters` and to the "valid" ones.
  /// Ranks without a batch pass null. `domain` is the domain of all samples on all ranks, "" where
  /// they have several.
  void valid_step(const DeviceBatch* batch, const std::string& domain, MetersDict& meters);
  /// The names of the training batches' domains, for desynchronized_cross_entropy's "ppl_NAME".
  /// Renames the "ppl_0" of fairseq's checkpoints.
  void name_domains(std::vector<std::string> names);

  std::int64_t num_updates() const noexcept { return num_updates_; }
  void set_num_updates(std::int64_t updates);
  double lr() const noexcept { return lr_; }
  double training_seconds() const;  ///< Includes earlier processes of the run.
  /// Values that all ranks agreed on in the last step: the mean of their training_seconds(), and a
  /// signal that one of them received (0: none). So all stop at the same update.
  double agreed_seconds() const noexcept { return agreed_seconds_; }
  int agreed_signal() const noexcept { return agreed_signal_; }
  void set_previous_seconds(double seconds);

  /// What is trained where, and how products are computed: lines of the log.
  std::vector<std::string> facts() const;
  const TransformerLM& model() const noexcept { return *model_; }
  FlatParameters& flat() const noexcept { return *flat_; }
  ParameterOptimizer& optimizer() noexcept { return *optimizer_; }
  const ParameterOptimizer& optimizer() const noexcept { return *optimizer_; }
  LrSchedule& schedule() noexcept { return *schedule_; }
  Metrics& metrics() noexcept { return metrics_; }
  Communicator& world() noexcept { return world_; }
  /// The moving average of the weights; null without --store-ema, and on ranks that save nothing.
  Ema* ema() noexcept { return ema_.get(); }
  const ExpertGroups* experts() const noexcept { return experts_.get(); }
  const TrainOptions& options() const noexcept { return options_; }
  at::Device device() const noexcept { return flat_->values().device(); }
  /// The loss of the last update over all ranks, in bits per token.
  double last_loss_base2() const noexcept { return last_loss_; }

 private:
  void connect_ranks();
  void seed_dropout() const;
  /// Every rank's statistics, by rank. Also agrees on the signal and the training time.
  std::vector<BatchStats> exchange_stats(const std::vector<BatchStats>& mine);
  std::vector<BatchStats> forward_backward(const UpdateBatches& batches, RouterStats& routers);
  /// Adds up all ranks' statistics of the routers.
  void exchange_routers(RouterStats& routers);
  void log_stats(const std::vector<BatchStats>& stats, const std::vector<std::string>& domains,
                 const std::vector<MetersDict*>& active) const;
  std::int64_t sample_size(const BatchStats& stats) const noexcept;
  ParameterOptimizer::Step update(const UpdateBatches& batches, std::vector<BatchStats>& stats,
                                  RouterStats& routers);
  /// Whether each layer can be updated as soon as its gradients are complete.
  bool updates_by_layer(const UpdateBatches& batches) const;
  bool gives_back_gradients(const UpdateBatches& batches) const;
  [[noreturn]] void diverged(const std::string& what, const UpdateBatches& batches) const;

  TrainOptions options_;
  Communicator& world_;
  std::unique_ptr<TransformerLM> model_;
  std::unique_ptr<FlatParameters> flat_;
  std::unique_ptr<ParameterOptimizer> optimizer_;
  std::unique_ptr<Ema> ema_;
  std::unique_ptr<ForwardBackward> passes_;
  std::unique_ptr<ExpertGroups> experts_;     ///< DeMIX; otherwise null
  std::unique_ptr<GradientReducer> reducer_;  ///< null for a single process
  std::unique_ptr<LrSchedule> schedule_;
  Metrics metrics_;
  std::vector<std::string>
      domains_;  ///< Of training; empty: one set, or the concatenation of all domains.
  std::int64_t num_updates_ = 0;
  double lr_ = 0, gradient_norm_ = 0, last_loss_ = 0, previous_seconds_ = 0, agreed_seconds_ = 0;
  int agreed_signal_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "[398, 114]": the samples of a batch, for messages.
std::string ids_text(const std::vector<std::int64_t>& ids);

}  // namespace btm
