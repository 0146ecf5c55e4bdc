// fairseq's learning rate schedules.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace btm {

/// fairseq's names and defaults.
struct LrScheduleOptions {
  std::string lr_scheduler = "fixed";       ///< one of lr_schedule_names()
  std::vector<double> lr{0.25};             ///< by epoch; the last one stays
  std::int64_t warmup_updates = -1;         ///< -1: 4000 for inverse_sqrt, 0 for the rest
  double warmup_init_lr = -1;               ///< inverse_sqrt, cosine, reduce_lr_on_plateau
  std::int64_t force_anneal = 0;            ///< fixed, polynomial_decay; 0: never
  double lr_shrink = 0.1;                   ///< fixed, cosine, triangular, reduce_lr_on_plateau
  double end_learning_rate = 0, power = 1;  ///< polynomial_decay
  double total_num_update = 0;              ///< polynomial_decay; 0: max_update
  double min_lr = 0, t_mult = 1;            ///< cosine
  std::optional<double> lr_period_updates;  ///< cosine: -1 by default; triangular: 5000
  std::int64_t warmup_steps = 0, hold_steps = 0, decay_steps = 0;  ///< tri_stage
  std::vector<double> phase_ratio;  ///< tri_stage: the stages' shares of max_update
  double init_lr_scale = 0.01, final_lr_scale = 0.01;  ///< tri_stage
  std::optional<double> max_lr;                        ///< triangular
  bool shrink_min = false;                             ///< triangular
  double lr_threshold = 1e-4;                          ///< reduce_lr_on_plateau
  std::int64_t lr_patience = 0;                        ///< reduce_lr_on_plateau
  std::string epoch2lr = "{}", update2lr = "{}";       ///< manual: Python dicts
  std::int64_t max_update = 0;
  bool maximize_metric = false;  ///< --maximize-best-checkpoint-metric
};

/// The names of --lr-scheduler.
std::vector<std::string> lr_schedule_names();

/// The number of warm-up updates.
std::int64_t warmup_updates_of(const LrScheduleOptions& options);
/// The length of the first period of 'cosine' and 'triangular'.
double lr_period_of(const LrScheduleOptions& options);

class LrSchedule {
 public:
  /// What a checkpoint keeps of a schedule. fairseq's keep `best`, or `lr` alone.
  struct State {
    std::optional<double> best;  ///< best validation loss
    std::optional<double> lr;
    std::optional<std::int64_t> last_epoch, bad_epochs;  ///< reduce_lr_on_plateau
  };

  /// UsageError for a combination of options that fairseq refuses.
  static std::unique_ptr<LrSchedule> make(const LrScheduleOptions& options);
  virtual ~LrSchedule() = default;

  /// Call it at the start of every epoch (counted from 1) with the current rate.
  virtual void begin_epoch(std::int64_t /*epoch*/, double /*lr*/) {}
  /// Call it at the end of an epoch, after its validation, if there was one.
  virtual void end_epoch(std::int64_t epoch, std::int64_t num_updates,
                         std::optional<double> val_loss);
  /// The rate of update num_updates + 1.
  virtual double lr_at(std::int64_t num_updates) const = 0;

  virtual State state() const { return {best_, {}, {}, {}}; }
  /// `optimizer_lr`: the rate that the optimizer's part of the checkpoint has.
  virtual void restore(const State& state, std::int64_t num_updates,
                       std::optional<double> optimizer_lr);

 private:
  std::optional<double> best_;
};

}  // namespace btm
