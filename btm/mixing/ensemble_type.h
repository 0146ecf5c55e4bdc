// The kinds of mixture and the rules of their posteriors, with the names that flags, plans and
// reports give them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace btm {

/// --ensemble-type: where the prior of a text comes from.
enum class EnsembleType : std::uint8_t {
  kCachedPrior,    ///< Given: --precomputed-prior.
  kUpdatingPrior,  ///< The mean of the posteriors so far, uniform at first.
  kUniformPrior,   ///< 1/E.
  kSimpleAverage,  ///< 1/E, and no token changes the weights.
  kClusterPrior,   ///< The text before each token, by a cluster model (c-BTM's paper).
  // As c-BTM's code computes them (eval_cbtm.py --ensemble-type):
  kClustering,        ///< The text before the previous token, by a cluster model.
  kProductOfExperts,  ///< That weight of the previous token, times the expert's score of it.
  kBayes,             ///< 1/E, times the expert's score of the previous token.
};

/// Whether the prior is that of a text, by a cluster model.
constexpr bool depends_on_text(EnsembleType type) {
  return type == EnsembleType::kClusterPrior || type == EnsembleType::kClustering ||
         type == EnsembleType::kProductOfExperts;
}

/// Whether the type is one of c-BTM's code, in which --eval-topk cuts the weights of each token.
constexpr bool is_of_cbtm(EnsembleType type) { return type >= EnsembleType::kClustering; }

/// --posterior: what changes the experts' weights within a text. The formulas: posterior.h.
enum class PosteriorRule : std::uint8_t {
  kLast,  ///< The previous token alone, as the release has it.
  kFull,  ///< All tokens so far: Bayes' rule.
  kNone,  ///< Nothing: the prior holds at every token.
};

/// --combine: what one distribution is made of those of the experts.
enum class Combination : std::uint8_t {
  kMean,     ///< sum_e w_e p_e
  kProduct,  ///< In proportion to prod_e p_e ^ w_e.
};

std::string_view name_of(EnsembleType type);
std::string_view name_of(PosteriorRule rule);
std::string_view name_of(Combination combination);

/// What has this name. Nothing for other text.
std::optional<EnsembleType> ensemble_type_of(std::string_view name);
std::optional<PosteriorRule> posterior_rule_of(std::string_view name);
std::optional<Combination> combination_of(std::string_view name);

std::vector<std::string> ensemble_type_names();
std::vector<std::string> posterior_rule_names();
std::vector<std::string> combination_names();

/// The same without those that need a cluster model besides the experts, and without c-BTM's.
std::optional<EnsembleType> model_ensemble_type_of(std::string_view name);

/// "cached_prior, updating_prior, uniform_prior or simple_average", for messages.
std::string model_ensemble_types();
std::string ensemble_types();  ///< All of them.

std::string joined_names(std::span<const EnsembleType> types);  ///< "updating_prior,uniform_prior"

/// The types that are evaluated by default.
inline constexpr std::array kUsualEnsembles{
    EnsembleType::kCachedPrior, EnsembleType::kUpdatingPrior, EnsembleType::kSimpleAverage};

/// The rule of a mixture when --posterior does not give one.
PosteriorRule default_rule(EnsembleType type);

}  // namespace btm
