#include "btm/trainer/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "compat/base/error.h"

namespace btm {
namespace {

using compat::UsageError;

double nth_or_last(const std::vector<double>& values, std::int64_t n) {
  return values[static_cast<std::size_t>(
      std::clamp<std::int64_t>(n, 0, static_cast<std::int64_t>(values.size()) - 1))];
}

class Fixed final : public LrSchedule {
 public:
  explicit Fixed(const LrScheduleOptions& options)
      : options_(options), warmup_(warmup_updates_of(options)), lr_(options.lr.front()) {}
  void begin_epoch(std::int64_t epoch, double) override {
    lr_ =
        options_.force_anneal == 0 || epoch < options_.force_anneal
            ? nth_or_last(options_.lr, epoch - 1)
            : options_.lr.back() * std::pow(options_.lr_shrink,
                                            static_cast<double>(epoch + 1 - options_.force_anneal));
  }
  double lr_at(std::int64_t updates) const override {
    return updates < warmup_ ? static_cast<double>(updates + 1) / static_cast<double>(warmup_) * lr_
                             : lr_;
  }
  double epoch_lr() const override { return lr_; }
  void set_epoch_lr(double lr) override { lr_ = lr; }

 private:
  LrScheduleOptions options_;
  std::int64_t warmup_;
  double lr_;
};

class PolynomialDecay final : public LrSchedule {
 public:
  explicit PolynomialDecay(const LrScheduleOptions& options)
      : options_(options),
        warmup_(warmup_updates_of(options)),
        lr_(options.lr.front()),
        total_(options.total_num_update > 0 ? options.total_num_update
                                            : static_cast<double>(options.max_update)) {
    if (total_ <= 0)
      throw UsageError("--lr-scheduler polynomial_decay needs --total-num-update or --max-update");
  }
  void begin_epoch(std::int64_t epoch, double lr) override {
    // Here fairseq indexes the list with the epoch, not with epoch - 1 as in 'fixed'.
    lr_ = options_.force_anneal == 0 || epoch < options_.force_anneal
              ? nth_or_last(options_.lr, epoch)
              : lr;
  }
  double lr_at(std::int64_t num_updates) const override {
    const auto updates = static_cast<double>(num_updates), warmup = static_cast<double>(warmup_);
    if (warmup_ > 0 && num_updates <= warmup_) return updates / warmup * lr_;
    if (updates >= total_) return options_.end_learning_rate;
    const double remaining = 1 - (updates - warmup) / (total_ - warmup);
    return (lr_ - options_.end_learning_rate) * std::pow(remaining, options_.power) +
           options_.end_learning_rate;
  }

 private:
  LrScheduleOptions options_;
  std::int64_t warmup_;
  double lr_, total_;
};

class InverseSqrt final : public LrSchedule {
 public:
  explicit InverseSqrt(const LrScheduleOptions& options) : warmup_(warmup_updates_of(options)) {
    if (options.lr.size() > 1)
      throw UsageError("--lr-scheduler inverse_sqrt takes one --lr; a list needs fixed");
    if (warmup_ < 1)
      throw UsageError("--lr-scheduler inverse_sqrt needs --warmup-updates of at least 1");
    const double end = options.lr.front();
    start_ = options.warmup_init_lr < 0 ? 0 : options.warmup_init_lr;
    step_ = (end - start_) / static_cast<double>(warmup_);
    decay_ = end * std::sqrt(static_cast<double>(warmup_));
  }
  double lr_at(std::int64_t updates) const override {
    return updates < warmup_ ? start_ + static_cast<double>(updates) * step_
                             : decay_ * std::pow(static_cast<double>(updates), -0.5);
  }

 private:
  std::int64_t warmup_;
  double start_, step_, decay_;
};

class Cosine final : public LrSchedule {
 public:
  explicit Cosine(const LrScheduleOptions& options)
      : options_(options), warmup_(warmup_updates_of(options)) {
    if (options.lr.size() > 1)
      throw UsageError("--lr-scheduler cosine takes one --lr; a list needs fixed");
    if (options.lr.front() <= options.min_lr)
      throw UsageError("--lr-scheduler cosine needs an --lr above --min-lr");
    if (options.t_mult <= 0) throw UsageError("--t-mult must be above 0");
    period_ = options.lr_period_updates > 0 ? options.lr_period_updates
                                            : static_cast<double>(options.max_update - warmup_);
    if (period_ <= 0)
      throw UsageError(
          "--lr-scheduler cosine needs --lr-period-updates, or --max-update above "
          "--warmup-updates");
    start_ = options.warmup_init_lr < 0 ? options.min_lr : options.warmup_init_lr;
  }
  double lr_at(std::int64_t updates) const override {
    const double max_lr = options_.lr.front();
    if (updates < warmup_)
      return start_ +
             static_cast<double>(updates) * (max_lr - start_) / static_cast<double>(warmup_);
    const auto current = static_cast<double>(updates - warmup_);
    double cycle, length, within;
    if (options_.t_mult != 1) {
      const double mult = options_.t_mult;
      cycle = std::floor(std::log(1 - current / period_ * (1 - mult)) / std::log(mult));
      length = std::pow(mult, cycle) * period_;
      within = current - (1 - std::pow(mult, cycle)) / (1 - mult) * period_;
    } else {
      cycle = std::floor(current / period_);
      length = period_;
      within = current - period_ * cycle;
    }
    const double shrink = std::pow(options_.lr_shrink, cycle);
    const double low = options_.min_lr * shrink, high = max_lr * shrink;
    return low + 0.5 * (high - low) * (1 + std::cos(std::numbers::pi * within / length));
  }

 private:
  LrScheduleOptions options_;
  std::int64_t warmup_;
  double period_, start_;
};

}  // namespace

std::int64_t warmup_updates_of(const LrScheduleOptions& options) {
  if (options.warmup_updates >= 0) return options.warmup_updates;
  return options.lr_scheduler == "inverse_sqrt" ? 4000 : 0;
}

std::unique_ptr<LrSchedule> LrSchedule::make(const LrScheduleOptions& options) {
  if (options.lr.empty()) throw UsageError("--lr is an empty list, expected at least one rate");
  if (options.lr_scheduler == "fixed") return std::make_unique<Fixed>(options);
  if (options.lr_scheduler == "polynomial_decay") return std::make_unique<PolynomialDecay>(options);
  if (options.lr_scheduler == "inverse_sqrt") return std::make_unique<InverseSqrt>(options);
  if (options.lr_scheduler == "cosine") return std::make_unique<Cosine>(options);
  throw UsageError("--lr-scheduler '" + compat::printable(options.lr_scheduler) +
                   "' is not supported (supported: fixed, polynomial_decay, inverse_sqrt, cosine)");
}

}  // namespace btm
