#include "btm/merge/tensor_merge.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "btm/merge/gram_merge.h"
#include "compat/base/error.h"

namespace btm {
namespace {

/// Counts the differences of all models to the base: `count` gets the rank of a model, and the
/// differences in a piece.
template <class Count>
void count_magnitudes(Stacks stacks, int threads, std::vector<MagnitudeRank>& ranks, Count count) {
  std::vector<std::vector<MagnitudeRank>> partial(static_cast<std::size_t>(threads), ranks);
  for (const auto& stack : stacks) {
    for_each_piece(*stack, threads, [&](std::size_t piece, int thread) {
      const PieceInputs inputs(*stack, piece);
      std::vector<float> task(inputs.values.back().size());
      for (std::size_t i = 0; i < ranks.size(); ++i) {
        task_vector(inputs.values.back(), inputs.values[i], task);
        count(partial[static_cast<std::size_t>(thread)][i], task);
      }
    });
  }
  for (auto& of_thread : partial)
    for (std::size_t i = 0; i < ranks.size(); ++i) ranks[i].add(of_thread[i]);
}

/// The factors of the models, and of the base where there is one.
std::vector<float> gram_factors(const TensorStack& stack, const TensorSettings& settings,
                                const MergeRule& rule, std::size_t models,
                                const std::filesystem::path& output) {
  const bool has_base = stack.models() > models;
  std::vector<Gram> partial(stack.pieces(), Gram(models));
  for_each_piece(stack, rule.threads, [&](std::size_t piece, int) {
    const PieceInputs inputs(stack, piece);
    const Models values = inputs.values;
    partial[piece].add(values.first(models), has_base ? values.back() : std::span<const float>());
  });
  Gram gram(models);  // over the pieces in order: the same on any number of threads
  for (const Gram& piece : partial) gram += piece;
  const std::vector<double>& weights = settings.weights;
  std::vector<double> factors;
  try {
    factors = rule.method == MergeMethod::kNuslerp      ? nuslerp_factors(gram, weights)
              : rule.method == MergeMethod::kMultislerp ? multislerp_factors(gram, weights)
              : rule.method == MergeMethod::kKarcher    ? karcher_factors(gram, settings.karcher)
                                                        : model_stock_factors(gram);
  } catch (const std::runtime_error& error) {
    throw compat::FormatError({output.string(), {}, {}},
                              "'" + compat::printable(stack.name()) + "': " + error.what());
  }
  if (has_base) factors.push_back(1 - std::accumulate(factors.begin(), factors.end(), 0.0));
  return {factors.begin(), factors.end()};
}

std::vector<float> slerp_weights(const TensorStack& stack, const TensorSettings& settings,
                                 int threads) {
  std::vector<InnerProducts> partial(stack.pieces());
  for_each_piece(stack, threads, [&](std::size_t piece, int) {
    const PieceInputs inputs(stack, piece);
    partial[piece] = inner_products(inputs.values[0], inputs.values[1]);
  });
  InnerProducts sum;  // over the pieces in order: the same on any number of threads
  for (const InnerProducts& products : partial) sum += products;
  const auto [a, b] = slerp_factors(sum, settings.weights[1], settings.straight);
  return {static_cast<float>(a), static_cast<float>(b)};
}

Combine sum_of(std::vector<float> factors) {
  return [factors = std::move(factors)](std::size_t, Models inputs, std::span<float> out) {
    linear_sum(inputs, factors, out);
  };
}

Combine paper_dare(const TensorStack& stack, const TensorSettings& settings, std::uint64_t seed) {
  std::vector<DareMask> masks;
  for (std::size_t i = 0; i + 1 < stack.models(); ++i)
    masks.push_back(dare_mask(seed, i, stack.name()));
  const std::vector<float> weights(settings.weights.begin(), settings.weights.end());
  return [&stack, masks, weights, scale = static_cast<float>(settings.scale),
          density = settings.sparse.front().density](std::size_t piece, Models inputs,
                                                     std::span<float> out) {
    add_dropped_task_vectors(inputs.back(), inputs.first(weights.size()), weights, scale, density,
                             masks, stack.begin(piece), out);
  };
}

}  // namespace

std::vector<float> model_thresholds(Stacks stacks, double density, int threads,
                                    std::span<const std::filesystem::path> files) {
  std::vector<MagnitudeRank> ranks(files.size());
  count_magnitudes(stacks, threads, ranks, [](MagnitudeRank& rank, std::span<const float> task) {
    rank.count_upper(task);
  });
  std::int64_t elements = 0;
  for (const auto& stack : stacks) {
    stack->check();
    elements += stack->numel();
  }
  const auto keep =
      std::max<std::int64_t>(1, std::llround(density * static_cast<double>(elements)));
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!ranks[i].all_finite())
      throw compat::FormatError(
          {files[i].string(), {}, {}},
          "differs from the base model by infinity or NaN somewhere, which cannot be trimmed");
    ranks[i].choose(static_cast<std::uint64_t>(keep));
  }
  std::vector<MagnitudeRank> chosen = ranks;
  count_magnitudes(stacks, threads, chosen, [](MagnitudeRank& rank, std::span<const float> task) {
    rank.count_lower(task);
  });
  std::vector<float> thresholds;
  for (const MagnitudeRank& rank : chosen) thresholds.push_back(rank.threshold());
  return thresholds;
}

Combine combine_of(const TensorStack& stack, const TensorSettings& settings, const MergeRule& rule,
                   const std::filesystem::path& output) {
  if (const auto sparse = sparse_method(rule.method, rule.trims_tensors))
    return sparse_combine(stack, *sparse, settings, rule.seed, rule.threads);
  const std::vector<float> weights(settings.weights.begin(), settings.weights.end());
  if (is_gram_method(rule.method))
    return sum_of(gram_factors(stack, settings, rule, weights.size(), output));
  switch (rule.method) {
    case MergeMethod::kSlerp:
      return sum_of(slerp_weights(stack, settings, rule.threads));
    case MergeMethod::kTaskArithmetic:
      return [weights, scale = static_cast<float>(settings.scale)](std::size_t, Models inputs,
                                                                   std::span<float> out) {
        add_task_vectors(inputs.back(), inputs.first(weights.size()), weights, scale, out);
      };
    case MergeMethod::kTies:
      return [weights, scale = static_cast<float>(settings.scale), thresholds = rule.thresholds](
                 std::size_t, Models inputs, std::span<float> out) {
        add_elected_task_vectors(inputs.back(), inputs.first(weights.size()), weights, scale,
                                 thresholds, out);
      };
    case MergeMethod::kDare:
      return paper_dare(stack, settings, rule.seed);
    case MergeMethod::kSce:
      return sce_combine(stack, settings, rule.threads);
    default:
      return sum_of(weights);
  }
}

}  // namespace btm
