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

/// Where the prior of a text comes from: --ensemble-type.
enum class EnsembleType : std::uint8_t {
  kCachedPrior,    ///< Given: --precomputed-prior.
  kUpdatingPrior,  ///< The mean of the posteriors so far, uniform at first.
  kUniformPrior,   ///< 1/E.
  kSimpleAverage,  ///< 1/E, and no token changes the weights.
  kClusterPrior,   ///< The text before each token, by a cluster model (c-BTM).
};

/// What changes the experts' weights within a text: --posterior. The formulas: posterior.h.
enum class PosteriorRule : std::uint8_t {
  kLast,  ///< The previous token alone, as the release has it.
  kFull,  ///< All tokens so far: Bayes' rule.
  kNone,  ///< Nothing: the prior holds at every token.
};

std::string_view name_of(EnsembleType type);
std::string_view name_of(PosteriorRule rule);

/// The type of a name; nothing for another text.
std::optional<EnsembleType> ensemble_type_of(std::string_view name);
std::optional<PosteriorRule> posterior_rule_of(std::string_view name);

std::vector<std::string> ensemble_type_names();
std::vector<std::string> posterior_rule_names();

/// The same but for cluster_prior, which needs a cluster model beside the experts.
std::optional<EnsembleType> model_ensemble_type_of(std::string_view name);

/// "cached_prior, updating_prior, uniform_prior or simple_average", for messages.
std::string model_ensemble_types();
std::string ensemble_types();  ///< With cluster_prior.

std::string joined_names(std::span<const EnsembleType> types);  ///< "updating_prior,uniform_prior"

/// What is evaluated where nothing else is asked for.
inline constexpr std::array kUsualEnsembles{
    EnsembleType::kCachedPrior, EnsembleType::kUpdatingPrior, EnsembleType::kSimpleAverage};

/// The rule of a mixture for which none is asked for.
PosteriorRule default_rule(EnsembleType type);

}  // namespace btm
