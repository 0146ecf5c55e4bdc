// fairseq's learning rate schedules.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace btm {

/// fairseq's names and defaults.
struct LrScheduleOptions {
  std::string lr_scheduler = "fixed";       ///< fixed, polynomial_decay, inverse_sqrt or cosine
  std::vector<double> lr{0.25};             ///< by epoch; the last one stays
  std::int64_t warmup_updates = -1;         ///< -1: 4000 for inverse_sqrt, 0 for the rest
  double warmup_init_lr = -1;               ///< inverse_sqrt, cosine
  std::int64_t force_anneal = 0;            ///< fixed, polynomial_decay; 0: never
  double lr_shrink = 0.1;                   ///< fixed, cosine
  double end_learning_rate = 0, power = 1;  ///< polynomial_decay
  double total_num_update = 0;              ///< polynomial_decay; 0: max_update
  double min_lr = 0, t_mult = 1, lr_period_updates = -1;  ///< cosine
  std::int64_t max_update = 0;
};

/// The number of warm-up updates.
std::int64_t warmup_updates_of(const LrScheduleOptions& options);

class LrSchedule {
 public:
  /// UsageError for a combination of options that fairseq refuses.
  static std::unique_ptr<LrSchedule> make(const LrScheduleOptions& options);
  virtual ~LrSchedule() = default;

  /// Call it at the start of every epoch (counted from 1) with the current rate.
  virtual void begin_epoch(std::int64_t /*epoch*/, double /*lr*/) {}
  /// The rate of update num_updates + 1.
  virtual double lr_at(std::int64_t num_updates) const = 0;

  /// The rate of the epoch, which 'fixed' keeps in a checkpoint.
  virtual double epoch_lr() const { return 0; }
  virtual void set_epoch_lr(double /*lr*/) {}
};

}  // namespace btm
