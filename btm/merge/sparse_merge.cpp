#include "btm/merge/sparse_merge.h"

#include <cmath>
#include <memory>
#include <numeric>
#include <optional>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

using Values = std::vector<float>;
/// Writes the values whose magnitudes are ranked: of a piece of the tensor.
using Keys = std::function<void(std::size_t piece, Values& keys)>;

/// A band of the magnitudes of a tensor, and what equals its ends before each piece.
struct PlacedBand {
  Band band;
  std::vector<BandEnds> before;
};

/// Magnitudes of a tensor, ranked in two passes.
class Ranking {
 public:
  Ranking(const TensorStack& stack, int threads, const Keys& keys)
      : stack_(stack), threads_(threads), keys_(keys) {
    std::vector<MagnitudeRank> partial(static_cast<std::size_t>(threads));
    each([&](Values& values, std::size_t, std::size_t thread) {
      partial[thread].count_upper(values);
    });
    for (const MagnitudeRank& of_thread : partial) counted_.add(of_thread);
  }

  /// The magnitudes of these numbers, counted from 1 at the largest.
  std::vector<MagnitudeRank::Found> find(const std::vector<std::uint64_t>& numbers) const {
    std::vector<MagnitudeRank> chosen(numbers.size(), counted_);
    for (std::size_t i = 0; i < numbers.size(); ++i) chosen[i].choose(numbers[i]);
    std::vector<std::vector<MagnitudeRank>> partial(static_cast<std::size_t>(threads_), chosen);
    each([&](Values& values, std::size_t, std::size_t thread) {
      for (MagnitudeRank& rank : partial[thread]) rank.count_lower(values);
    });
    std::vector<MagnitudeRank::Found> found;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      for (const auto& of_thread : partial) chosen[i].add(of_thread[i]);
      found.push_back(chosen[i].found());
    }
    return found;
  }

  PlacedBand placed(const Band& band) const {
    PlacedBand placed{band, std::vector<BandEnds>(stack_.pieces() + 1)};
    each([&](Values& values, std::size_t piece, std::size_t) {
      placed.before[piece + 1] = count_ends(values, band);
    });
    for (std::size_t piece = 1; piece < placed.before.size(); ++piece) {
      placed.before[piece].lows += placed.before[piece - 1].lows;
      placed.before[piece].highs += placed.before[piece - 1].highs;
    }
    return placed;
  }

 private:
  template <class Work>
  void each(Work work) const {
    for_each_piece(stack_, threads_, [&](std::size_t piece, int thread) {
      Values values;
      keys_(piece, values);
      work(values, piece, static_cast<std::size_t>(thread));
    });
  }

  const TensorStack& stack_;
  int threads_;
  const Keys& keys_;
  MagnitudeRank counted_;
};

constexpr Band kNothing{.low = std::numeric_limits<float>::infinity(), .low_to = 0};

/// The largest `kept` elements; of equal ones the first.
PlacedBand largest(const Ranking& ranking, std::uint64_t kept) {
  if (kept == 0) return ranking.placed(kNothing);
  const auto found = ranking.find({kept});
  return ranking.placed({.low = found[0].value, .low_to = kept - found[0].above});
}

/// The elements at places of an ascending and stable sort.
PlacedBand between(const Ranking& ranking, const Places& places, std::uint64_t numel) {
  if (places.first == places.last) return ranking.placed(kNothing);
  const auto found = ranking.find({numel - places.first, numel - places.last + 1});
  const auto below = [&](const MagnitudeRank::Found& end) { return numel - end.above - end.equal; };
  const std::uint64_t from = places.first - below(found[0]), to = places.last - below(found[1]);
  const bool same = found[0].value == found[1].value;
  return ranking.placed({.low = found[0].value,
                         .high = found[1].value,
                         .low_from = from,
                         .low_to = same ? to : Band::kAll,
                         .high_to = to});
}

/// The task vectors of a tensor, made sparse.
class SparseTasks {
 public:
  SparseTasks(const TensorStack& stack, const SparseMethod& method, const TensorSettings& settings,
              std::uint64_t seed, int threads)
      : stack_(stack), method_(method), parameters_(settings.sparse), threads_(threads) {
    bands_.resize(models());
    factors_.assign(models(), 1);
    for (std::size_t i = 0; i < models(); ++i) {
      masks_.push_back(dare_mask(seed, i, stack.name()));
      if (is_whole(i)) continue;
      if (method.sparsifier == Sparsifier::kLargest || method.sparsifier == Sparsifier::kOutliers)
        bands_[i] = band_of(i);
      if (settings.rescales) factors_[i] = static_cast<float>(rescale_factor(i));
    }
  }

  std::size_t models() const noexcept { return parameters_.size(); }

  /// task = what is kept of model i's task vector in a piece, rescaled.
  void fill(std::size_t i, std::size_t piece, std::span<const float> base,
            std::span<const float> model, Values& task) const {
    keep(i, piece, base, model, task);
    if (factors_[i] == 1) return;
    for (float& value : task) value *= factors_[i];
  }

 private:
  bool is_whole(std::size_t i) const { return parameters_[i].density >= 1; }

  void keep(std::size_t i, std::size_t piece, std::span<const float> base,
            std::span<const float> model, Values& task) const {
    task.resize(base.size());
    task_vector(base, model, task);
    if (is_whole(i)) return;
    const std::uint64_t first = stack_.begin(piece);
    if (bands_[i])
      keep_band(task, bands_[i]->band, bands_[i]->before[piece], task);
    else if (method_.sparsifier == Sparsifier::kRandom || parameters_[i].density <= 0)
      keep_random(masks_[i], parameters_[i].density, first, task);
    else
      keep_by_rank(masks_[i], parameters_[i], first, static_cast<std::size_t>(stack_.row()), task);
  }

  PlacedBand band_of(std::size_t i) const {
    const auto numel = static_cast<std::uint64_t>(stack_.numel());
    const Places places = places_kept(method_.sparsifier, parameters_[i], numel);
    const Keys keys = [&](std::size_t piece, Values& task) {
      Values base_scratch, scratch;
      const auto base = stack_.read(models(), piece, base_scratch);
      task.resize(base.size());
      task_vector(base, stack_.read(i, piece, scratch), task);
    };
    const Ranking ranking(stack_, threads_, keys);
    return method_.sparsifier == Sparsifier::kLargest ? largest(ranking, places.last - places.first)
                                                      : between(ranking, places, numel);
  }

  /// The L1 norm of the task vector over that of what is kept; 1 where one of them is almost 0.
  double rescale_factor(std::size_t i) const {
    constexpr double kLeast = 1e-7;
    std::vector<double> before(stack_.pieces()), after(stack_.pieces());
    for_each_piece(stack_, threads_, [&](std::size_t piece, int) {
      Values base_scratch, scratch, task;
      const auto base = stack_.read(models(), piece, base_scratch);
      const auto model = stack_.read(i, piece, scratch);
      task.resize(base.size());
      task_vector(base, model, task);
      before[piece] = magnitude_sum(task);
      keep(i, piece, base, model, task);
      after[piece] = magnitude_sum(task);
    });
    // Over the pieces in order: the same on any number of threads.
    const double whole = std::accumulate(before.begin(), before.end(), 0.0),
                 kept = std::accumulate(after.begin(), after.end(), 0.0);
    return whole < kLeast || kept < kLeast ? 1 : whole / kept;
  }

  const TensorStack& stack_;
  SparseMethod method_;
  std::vector<SparseParameters> parameters_;
  int threads_;
  std::vector<DareMask> masks_;
  std::vector<std::optional<PlacedBand>> bands_;
  std::vector<float> factors_;
};

/// The elements that SCE keeps.
PlacedBand varying(const TensorStack& stack, double share, int threads) {
  const Keys keys = [&](std::size_t piece, Values& values) {
    const PieceInputs inputs(stack, piece);
    values.resize(inputs.values.front().size());
    variances(inputs.values.back(), Models(inputs.values).first(stack.models() - 1), values);
  };
  const Ranking ranking(stack, threads, keys);
  const auto numel = static_cast<std::uint64_t>(stack.numel());
  const auto least = ranking.find({numel})[0];
  const std::uint64_t varying = numel - (least.value == 0 ? least.equal : 0);
  return largest(ranking, static_cast<std::uint64_t>(share * static_cast<double>(varying)));
}

/// The task vectors of all models in a piece, without what is not kept.
std::vector<Values> sce_tasks(const std::optional<PlacedBand>& kept, std::size_t piece,
                              Models inputs) {
  const auto base = inputs.back();
  const Models models = inputs.first(inputs.size() - 1);
  Values spread(base.size());
  if (kept) variances(base, models, spread);
  std::vector<Values> tasks;
  for (const auto model : models) {
    Values& task = tasks.emplace_back(base.size());
    task_vector(base, model, task);
    if (kept) keep_band(spread, kept->band, kept->before[piece], task);
  }
  return tasks;
}

}  // namespace

Combine sparse_combine(const TensorStack& stack, const SparseMethod& method,
                       const TensorSettings& settings, std::uint64_t seed, int threads) {
  if (needs_rows(method) && stack.shape().size() > 2)
    throw compat::UnsupportedError(
        compat::concat("'", compat::printable(stack.name()), "' has ", stack.shape().size(),
                       " dimensions, expected at most 2, in whose rows della ranks the elements"));
  const auto sparse = std::make_shared<SparseTasks>(stack, method, settings, seed, threads);
  const Values weights(settings.weights.begin(), settings.weights.end());
  const TaskSum sum{method.elects, settings.normalizes, settings.scale};
  return [sparse, weights, sum](std::size_t piece, Models inputs, std::span<float> out) {
    std::vector<Values> tasks(sparse->models());
    for (std::size_t i = 0; i < tasks.size(); ++i)
      sparse->fill(i, piece, inputs.back(), inputs[i], tasks[i]);
    add_tasks(inputs.back(), std::vector<std::span<const float>>(tasks.begin(), tasks.end()),
              weights, sum, out);
  };
}

Combine sce_combine(const TensorStack& stack, const TensorSettings& settings, int threads) {
  constexpr double kLeast = 1e-6;
  const std::size_t models = stack.models() - 1;
  std::optional<PlacedBand> kept;
  if (settings.select_topk < 1) kept = varying(stack, settings.select_topk, threads);
  std::vector<std::vector<double>> squares(stack.pieces(), std::vector<double>(models));
  for_each_piece(stack, threads, [&](std::size_t piece, int) {
    const PieceInputs inputs(stack, piece);
    const std::vector<Values> tasks = sce_tasks(kept, piece, inputs.values);
    for (std::size_t i = 0; i < models; ++i)
      for (const float value : tasks[i]) squares[piece][i] += static_cast<double>(value) * value;
  });
  std::vector<double> means(models);  // over the pieces in order
  for (const std::vector<double>& piece : squares)
    for (std::size_t i = 0; i < models; ++i)
      means[i] += piece[i] / static_cast<double>(stack.numel());
  const double sum = std::accumulate(means.begin(), means.end(), 0.0);
  Values weights;
  for (const double mean : means)
    weights.push_back(
        static_cast<float>(sum < kLeast ? 1 / static_cast<double>(models) : mean / sum));
  return [kept, weights](std::size_t piece, Models inputs, std::span<float> out) {
    const std::vector<Values> tasks = sce_tasks(kept, piece, inputs);
    add_sce_tasks(inputs.back(), std::vector<std::span<const float>>(tasks.begin(), tasks.end()),
                  weights, out);
  };
}

}  // namespace btm
