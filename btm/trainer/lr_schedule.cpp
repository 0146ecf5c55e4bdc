#include "btm/trainer/lr_schedule.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <numbers>
#include <sstream>
#include <string_view>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/fairseq/config.h"

namespace btm {
namespace {

using compat::UsageError;

double nth_or_last(const std::vector<double>& values, std::int64_t n) {
  return values[static_cast<std::size_t>(
      std::clamp<std::int64_t>(n, 0, static_cast<std::int64_t>(values.size()) - 1))];
}

void needs_one_rate(const LrScheduleOptions& options) {
  if (options.lr.size() > 1)
    throw UsageError("--lr-scheduler " + options.lr_scheduler +
                     " takes one --lr; a list needs fixed");
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
  State state() const override {
    State state;
    state.lr = lr_;
    return state;
  }
  void restore(const State& state, std::int64_t, std::optional<double>) override {
    if (state.lr) lr_ = *state.lr;
  }

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
    needs_one_rate(options);
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
    needs_one_rate(options);
    if (options.lr.front() <= options.min_lr)
      throw UsageError("--lr-scheduler cosine needs an --lr above --min-lr");
    if (options.t_mult <= 0) throw UsageError("--t-mult must be above 0");
    period_ = lr_period_of(options) > 0 ? lr_period_of(options)
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

/// Three stages: a linear warm-up, a constant rate, an exponential decay. The last rate stays.
class TriStage final : public LrSchedule {
 public:
  explicit TriStage(const LrScheduleOptions& options)
      : peak_(options.lr.front()),
        first_(options.init_lr_scale * peak_),
        last_(options.final_lr_scale * peak_),
        warmup_(options.warmup_steps),
        hold_(options.hold_steps),
        decay_(options.decay_steps) {
    needs_one_rate(options);
    if (!options.phase_ratio.empty()) take_shares(options);
    if (decay_ < 1)
      throw UsageError("--lr-scheduler tri_stage needs --decay-steps, or --phase-ratio");
    if (options.final_lr_scale <= 0) throw UsageError("--final-lr-scale must be above 0");
    factor_ = -std::log(options.final_lr_scale) / static_cast<double>(decay_);
  }
  double lr_at(std::int64_t updates) const override {
    if (updates < warmup_)
      return first_ +
             (peak_ - first_) / static_cast<double>(warmup_) * static_cast<double>(updates);
    const std::int64_t decayed = updates - warmup_ - hold_;
    if (decayed < 0) return peak_;
    return decayed <= decay_ ? peak_ * std::exp(-factor_ * static_cast<double>(decayed)) : last_;
  }

 private:
  void take_shares(const LrScheduleOptions& options) {
    const std::vector<double>& shares = options.phase_ratio;
    double sum = 0;
    for (const double share : shares) sum += share;
    if (shares.size() != 3 || sum != 1)
      throw UsageError("--phase-ratio must be three numbers whose sum is 1");
    if (options.max_update <= 0) throw UsageError("--phase-ratio needs --max-update");
    const auto of_all = [&](double share) {
      return static_cast<std::int64_t>(static_cast<double>(options.max_update) * share);
    };
    warmup_ = of_all(shares[0]);
    hold_ = of_all(shares[1]);
    decay_ = of_all(shares[2]);
  }

  double peak_, first_, last_, factor_ = 0;
  std::int64_t warmup_, hold_, decay_;
};

/// Up from --lr to --max-lr and down again in each period, whose peaks shrink.
class Triangular final : public LrSchedule {
 public:
  explicit Triangular(const LrScheduleOptions& options)
      : options_(options), step_(std::floor(lr_period_of(options) / 2)) {
    needs_one_rate(options);
    if (!options.max_lr) throw UsageError("--lr-scheduler triangular needs --max-lr");
    if (*options.max_lr <= options.lr.front()) throw UsageError("--max-lr must be above --lr");
    if (!(step_ >= 1)) throw UsageError("--lr-period-updates must be at least 2");
  }
  double lr_at(std::int64_t num_updates) const override {
    const auto updates = static_cast<double>(num_updates);
    const double cycle = std::floor(updates / (2 * step_));
    const double shrink = std::pow(options_.lr_shrink, cycle);
    const double high = *options_.max_lr * shrink;
    const double low = options_.lr.front() * (options_.shrink_min ? shrink : 1);
    const double distance = std::abs(updates / step_ - 2 * (cycle + 1) + 1);
    return low + (high - low) * std::max(0.0, 1 - distance);
  }

 private:
  LrScheduleOptions options_;
  double step_;
};

/// Shrinks the rate after --lr-patience epochs whose validation was no better than the best by
/// --lr-threshold (relative), as torch's ReduceLROnPlateau.
class ReduceOnPlateau final : public LrSchedule {
 public:
  explicit ReduceOnPlateau(const LrScheduleOptions& options)
      : options_(options), warmup_(warmup_updates_of(options)), lr_(options.lr.front()) {
    needs_one_rate(options);
    if (options.lr_shrink >= 1) throw UsageError("--lr-shrink must be below 1");
    start_ = options.warmup_init_lr < 0 ? 0 : options.warmup_init_lr;
    const double infinity = std::numeric_limits<double>::infinity();
    best_ = options.maximize_metric ? -infinity : infinity;
  }
  double lr_at(std::int64_t updates) const override {
    if (warmup_ <= 0 || updates > warmup_) return lr_;
    const double step = (options_.lr.front() - start_) / static_cast<double>(warmup_);
    return start_ + static_cast<double>(updates) * step;
  }
  void end_epoch(std::int64_t epoch, std::int64_t num_updates,
                 std::optional<double> val_loss) override {
    if (!val_loss || (warmup_ > 0 && num_updates <= warmup_)) {
      last_epoch_ = epoch;
      return;
    }
    ++last_epoch_;
    const double threshold = options_.lr_threshold;
    if (options_.maximize_metric ? *val_loss > best_ * (1 + threshold)
                                 : *val_loss < best_ * (1 - threshold)) {
      best_ = *val_loss;
      bad_epochs_ = 0;
      return;
    }
    if (++bad_epochs_ <= options_.lr_patience) return;
    bad_epochs_ = 0;
    constexpr double kLeastChange = 1e-8;  // torch's eps
    if (const double shrunk = lr_ * options_.lr_shrink; lr_ - shrunk > kLeastChange) lr_ = shrunk;
  }
  State state() const override { return {best_, std::nullopt, last_epoch_, bad_epochs_}; }
  void restore(const State& state, std::int64_t num_updates,
               std::optional<double> optimizer_lr) override {
    best_ = state.best.value_or(best_);
    last_epoch_ = state.last_epoch.value_or(last_epoch_);
    bad_epochs_ = state.bad_epochs.value_or(0);  // fairseq does not keep it
    if (optimizer_lr && num_updates > warmup_) lr_ = *optimizer_lr;
  }

 private:
  LrScheduleOptions options_;
  std::int64_t warmup_, last_epoch_ = 0, bad_epochs_ = 0;
  double lr_, start_, best_;
};

/// Rates by epoch and by update; the latter go first. A key is a number, or a list "1,3" or a range
/// "2-5" of numbers.
class Manual final : public LrSchedule {
 public:
  explicit Manual(const LrScheduleOptions& options)
      : by_epoch_(rates_of("epoch2lr", options.epoch2lr)),
        by_update_(rates_of("update2lr", options.update2lr)),
        lr_(options.lr.front()) {
    for (const std::map<std::int64_t, double>* const table : {&by_update_, &by_epoch_})
      if (const auto first = table->find(1); first != table->end()) lr_ = first->second;
  }
  void begin_epoch(std::int64_t epoch, double lr) override {
    lr_ = in_force(by_epoch_, epoch).value_or(lr);
  }
  double lr_at(std::int64_t updates) const override {
    return in_force(by_update_, updates).value_or(lr_);
  }
  State state() const override {
    State state;
    state.lr = lr_;
    return state;
  }
  void restore(const State& state, std::int64_t, std::optional<double> optimizer_lr) override {
    if (const auto lr = optimizer_lr ? optimizer_lr : state.lr) lr_ = *lr;
  }

 private:
  using Rates = std::map<std::int64_t, double>;
  static std::optional<double> in_force(const Rates& rates, std::int64_t now) {
    const auto after = rates.upper_bound(now);
    return after == rates.begin() ? std::nullopt : std::optional(std::prev(after)->second);
  }
  static Rates rates_of(const std::string& flag, const std::string& text);

  Rates by_epoch_, by_update_;
  double lr_;
};

std::map<std::int64_t, double> Manual::rates_of(const std::string& flag, const std::string& text) {
  const compat::ConfigValue value = compat::parse_python_literal(text);
  const auto* dict = std::get_if<compat::ConfigValue::Dict>(&value.value);
  const auto check = [&](bool ok) {
    if (!ok)
      throw UsageError("--" + flag + " '" + compat::printable(text) +
                       "', expected a dict such as {'1-10': 0.1, '11,13': 0.05}");
  };
  check(dict != nullptr);
  constexpr std::int64_t kMost = 1'000'000;  // of a range
  const auto integer_of = [&](std::string_view digits) {
    while (digits.starts_with(' ')) digits.remove_prefix(1);
    while (digits.ends_with(' ')) digits.remove_suffix(1);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    check(error == std::errc() && end == digits.data() + digits.size() && number >= 0);
    return number;
  };
  Rates rates;
  for (const auto& [key, rate] : *dict) {
    const auto* real = std::get_if<double>(&rate.value);
    const auto* integer = std::get_if<std::int64_t>(&rate.value);
    check(real != nullptr || integer != nullptr);
    const double lr = real != nullptr ? *real : static_cast<double>(*integer);
    const std::size_t dash = key.find('-');
    if (key.find(',') == std::string::npos && dash != std::string::npos) {
      const std::string_view range = key;
      const std::int64_t first = integer_of(range.substr(0, dash)),
                         last = integer_of(range.substr(dash + 1));
      check(last - first <= kMost);
      for (std::int64_t at = first; at <= last; ++at) rates[at] = lr;
      continue;
    }
    std::istringstream parts(key);
    for (std::string part; std::getline(parts, part, ',');) rates[integer_of(part)] = lr;
  }
  return rates;
}

using MakeSchedule = std::unique_ptr<LrSchedule> (*)(const LrScheduleOptions&);

template <class T>
std::unique_ptr<LrSchedule> make_schedule(const LrScheduleOptions& options) {
  return std::make_unique<T>(options);
}

constexpr std::array<std::pair<std::string_view, MakeSchedule>, 8> kSchedules{
    {{"fixed", make_schedule<Fixed>},
     {"polynomial_decay", make_schedule<PolynomialDecay>},
     {"inverse_sqrt", make_schedule<InverseSqrt>},
     {"cosine", make_schedule<Cosine>},
     {"tri_stage", make_schedule<TriStage>},
     {"reduce_lr_on_plateau", make_schedule<ReduceOnPlateau>},
     {"triangular", make_schedule<Triangular>},
     {"manual", make_schedule<Manual>}}};

}  // namespace

std::vector<std::string> lr_schedule_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : kSchedules) names.emplace_back(name);
  return names;
}

std::int64_t warmup_updates_of(const LrScheduleOptions& options) {
  if (options.warmup_updates >= 0) return options.warmup_updates;
  return options.lr_scheduler == "inverse_sqrt" ? 4000 : 0;
}

double lr_period_of(const LrScheduleOptions& options) {
  return options.lr_period_updates.value_or(options.lr_scheduler == "triangular" ? 5000 : -1);
}

void LrSchedule::end_epoch(std::int64_t, std::int64_t, std::optional<double> val_loss) {
  if (val_loss && std::isfinite(*val_loss)) best_ = std::min(best_.value_or(*val_loss), *val_loss);
}

void LrSchedule::restore(const State& state, std::int64_t, std::optional<double>) {
  if (state.best) best_ = state.best;
}

std::unique_ptr<LrSchedule> LrSchedule::make(const LrScheduleOptions& options) {
  if (options.lr.empty()) throw UsageError("--lr is an empty list, expected at least one rate");
  for (const auto& [name, make] : kSchedules)
    if (name == options.lr_scheduler) return make(options);
  throw UsageError("--lr-scheduler '" + compat::printable(options.lr_scheduler) +
                   "' is not supported (supported: " + compat::join(lr_schedule_names(), ", ") +
                   ")");
}

}  // namespace btm
