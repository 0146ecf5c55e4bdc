#include "btm/trainer/meters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

using compat::PickleArena;
using compat::PickleNode;

constexpr std::array<const char*, 3> kClassNames{"AverageMeter", "TimeMeter", "StopwatchMeter"};

/// Numbers in a checkpoint are Python numbers or torch scalars.
std::optional<double> number_of(const PickleNode* node) {
  if (node == nullptr || node->is_none()) return std::nullopt;
  if (const auto* integer = node->get_if<std::int64_t>()) return static_cast<double>(*integer);
  if (const auto* real = node->get_if<double>()) return *real;
  if (const auto* flag = node->get_if<bool>()) return *flag ? 1 : 0;
  if (const auto* tensor = node->get_if<compat::PickleTensor>();
      tensor != nullptr && tensor->view.numel() == 1) {
    std::vector<std::byte> scratch;
    const auto bytes = tensor->view.contiguous_bytes(scratch);
    const auto read = [&](auto number) {
      std::memcpy(&number, bytes.data(), sizeof(number));
      return static_cast<double>(number);
    };
    switch (tensor->view.dtype()) {
      case compat::DType::kFloat32:
        return read(float{});
      case compat::DType::kFloat64:
        return read(double{});
      case compat::DType::kInt64:
        return read(std::int64_t{});
      default:
        return std::nullopt;
    }
  }
  return std::nullopt;
}

/// As in Python: a count stays an int while only ints were added to it.
PickleNode* number_node(PickleArena& arena, double value) {
  return value == std::floor(value) && std::abs(value) < 1e15
             ? arena.integer(static_cast<std::int64_t>(value))
             : arena.real(value);
}

}  // namespace

double python_round(double value, int digits) {
  if (!std::isfinite(value)) return value;
  return std::strtod(compat::decimal(value, digits).c_str(), nullptr);
}

Meter::Meter(Kind kind, int priority, std::optional<int> round)
    : kind_(kind), priority_(priority), round_(round) {
  reset();
}

void Meter::update(double value, double weight) {
  value_ = value;
  if (weight > 0) {
    sum_ += value * weight;
    count_ += weight;
  }
}

void Meter::count(double events) { count_ += events; }

void Meter::start() { start_ = Clock::now(); }

void Meter::stop() {
  if (start_) sum_ += elapsed();
}

void Meter::reset() {
  value_.reset();
  sum_ = count_ = init_ = 0;
  start_ = Clock::now();
}

double Meter::elapsed() const {
  return init_ + (start_ ? std::chrono::duration<double>(Clock::now() - *start_).count() : 0);
}

std::optional<double> Meter::mean() const {
  switch (kind_) {
    case Kind::kAverage:
      return count_ > 0 ? sum_ / count_ : value_;
    case Kind::kTime:
      return count_ / elapsed();
    case Kind::kStopwatch:
      return sum_ > 0 ? (count_ > 0 ? sum_ / count_ : sum_) : elapsed();
    case Kind::kPerplexity:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<double> Meter::smoothed() const {
  const std::optional<double> value = mean();
  return value && round_ ? python_round(*value, *round_) : value;
}

PickleNode* Meter::state(PickleArena& arena) const {
  compat::PickleDict dict;
  const auto put = [&](const char* key, PickleNode* value) {
    dict.items.emplace_back(arena.string(key), value);
  };
  if (kind_ == Kind::kAverage) {
    put("val", arena.real_or_none(value_));
    put("sum", arena.real(sum_));
    put("count", number_node(arena, count_));
  } else if (kind_ == Kind::kTime) {
    put("init", arena.real(elapsed()));
    put("n", number_node(arena, count_));
  } else {
    put("sum", arena.real(sum_));
    put("n", number_node(arena, count_));
  }
  put("round", round_ ? arena.integer(*round_) : arena.none());
  return arena.make(std::move(dict));
}

void Meter::load(const PickleNode& state) {
  const auto number = [&](const char* key) { return number_of(state.find(key)); };
  reset();
  if (const auto digits = number("round"))
    round_ = static_cast<int>(std::clamp(*digits, 0.0, 20.0));
  value_ = number("val");
  sum_ = number("sum").value_or(0);
  count_ = number(kind_ == Kind::kAverage ? "count" : "n").value_or(0);
  init_ = number("init").value_or(0);
  if (kind_ == Kind::kStopwatch) start_.reset();
}

Meter& MetersDict::get(const std::string& key, Meter::Kind kind, int priority,
                       std::optional<int> round, bool* created) {
  const auto found = std::ranges::find(entries_, key, &Entry::key);
  if (created != nullptr) *created = found == entries_.end();
  if (found != entries_.end()) return found->meter;
  const auto place = std::ranges::upper_bound(
      entries_, priority, {}, [](const Entry& entry) { return entry.meter.priority(); });
  return entries_.insert(place, Entry{key, Meter(kind, priority, round), {}})->meter;
}

void MetersDict::log_scalar(const std::string& key, double value, double weight, int priority,
                            std::optional<int> round) {
  get(key, Meter::Kind::kAverage, priority, round).update(value, weight);
}

void MetersDict::log_speed(const std::string& key, double events, int priority,
                           std::optional<int> round) {
  bool created = false;
  Meter& meter = get(key, Meter::Kind::kTime, priority, round, &created);
  if (!created) meter.count(events);  // the first event only starts the clock
}

void MetersDict::log_start_time(const std::string& key, int priority, std::optional<int> round) {
  get(key, Meter::Kind::kStopwatch, priority, round).start();
}

void MetersDict::log_stop_time(const std::string& key) {
  const auto found = std::ranges::find(entries_, key, &Entry::key);
  if (found != entries_.end()) found->meter.stop();
}

void MetersDict::log_perplexity(const std::string& key, const std::string& source) {
  bool created = false;
  get(key, Meter::Kind::kPerplexity, 20, 2, &created);
  if (created) std::ranges::find(entries_, key, &Entry::key)->source = source;
}

void MetersDict::rename(const std::string& from, const std::string& to) {
  const auto found = std::ranges::find(entries_, from, &Entry::key);
  if (found != entries_.end() && find(to) == nullptr) found->key = to;
}

const Meter* MetersDict::find(const std::string& key) const {
  const auto found = std::ranges::find(entries_, key, &Entry::key);
  return found == entries_.end() ? nullptr : &found->meter;
}

LogRow MetersDict::row() const {
  LogRow row;
  for (const Entry& entry : entries_) {
    std::optional<double> value = entry.meter.smoothed();
    if (entry.meter.kind() == Meter::Kind::kPerplexity) {
      const Meter* const source = find(entry.source);
      const std::optional<double> mean = source != nullptr ? source->mean() : std::nullopt;
      value = mean ? std::optional(python_round(std::exp2(*mean), 2)) : std::nullopt;
    }
    row.emplace_back(entry.key, value);
  }
  return row;
}

void MetersDict::reset() {
  for (Entry& entry : entries_) entry.meter.reset();
}

void MetersDict::reset_clocks() {
  for (Entry& entry : entries_)
    if (entry.meter.kind() == Meter::Kind::kTime) entry.meter.reset();
}

PickleNode* MetersDict::state(PickleArena& arena) const {
  compat::PickleList list;
  for (const Entry& entry : entries_) {
    if (entry.meter.kind() == Meter::Kind::kPerplexity) continue;
    list.items.push_back(arena.make(compat::PickleTuple{
        {arena.integer(entry.meter.priority()), arena.string(entry.key),
         arena.string(kClassNames[static_cast<std::size_t>(entry.meter.kind())]),
         entry.meter.state(arena)}}));
  }
  return arena.make(std::move(list));
}

void MetersDict::load(const PickleNode& state, const std::string& file) {
  const auto fail = [&](const std::string& problem) {
    throw compat::FormatError({file, "extra_state.metrics", {}}, problem);
  };
  const auto* list = state.get_if<compat::PickleList>();
  if (list == nullptr) fail("is " + state.describe() + ", expected a list of meters");
  entries_.clear();
  for (const PickleNode* item : list->items) {
    const auto* tuple = item->get_if<compat::PickleTuple>();
    const auto* priority = tuple != nullptr && tuple->items.size() == 4
                               ? tuple->items[0]->get_if<std::int64_t>()
                               : nullptr;
    const auto* key = priority != nullptr ? tuple->items[1]->get_if<std::string>() : nullptr;
    const auto* name = key != nullptr ? tuple->items[2]->get_if<std::string>() : nullptr;
    if (name == nullptr)
      fail("holds " + item->describe() + ", expected (priority, key, class, state)");
    const auto kind = std::ranges::find(kClassNames, *name) - kClassNames.begin();
    if (kind == static_cast<std::ptrdiff_t>(kClassNames.size()))
      continue;  // SumMeter and others no language model logs
    get(*key, static_cast<Meter::Kind>(kind),
        static_cast<int>(std::clamp<std::int64_t>(*priority, 0, 1 << 20)), {})
        .load(*tuple->items[3]);
  }
}

MetersDict& Metrics::operator[](const std::string& name) {
  for (auto& [key, meters] : aggregators_)
    if (key == name) return meters;
  return aggregators_.emplace_back(name, MetersDict{}).second;
}

PickleNode* Metrics::state(PickleArena& arena) const {
  compat::PickleDict dict;
  dict.ordered = true;
  for (const auto& [name, meters] : aggregators_)
    dict.items.emplace_back(arena.string(name), meters.state(arena));
  return arena.make(std::move(dict));
}

void Metrics::load(const PickleNode& state, const std::string& file) {
  const auto* dict = state.get_if<compat::PickleDict>();
  if (dict == nullptr)
    throw compat::FormatError({file, "extra_state.metrics", {}},
                              "is " + state.describe() + ", expected a dict");
  for (const auto& [key, value] : dict->items)
    if (const auto* name = key->get_if<std::string>()) (*this)[*name].load(*value, file);
}

}  // namespace btm
