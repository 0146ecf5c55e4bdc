#include "btm/mixing/ensemble_type.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "compat/base/concat.h"

namespace btm {
namespace {

// In the order of the enumerators.
constexpr std::array<std::string_view, 8> kTypeNames{
    "cached_prior",  "updating_prior", "uniform_prior",      "simple_average",
    "cluster_prior", "clustering",     "product_of_experts", "bayes"};
/// Those before cluster_prior.
constexpr std::size_t kModelTypes = static_cast<std::size_t>(EnsembleType::kClusterPrior);
constexpr std::array<std::string_view, 3> kRuleNames{"last", "full", "none"};
constexpr std::array<std::string_view, 2> kCombinationNames{"mean", "product"};
static_assert(kTypeNames.size() == static_cast<std::size_t>(EnsembleType::kBayes) + 1);
static_assert(kRuleNames.size() == static_cast<std::size_t>(PosteriorRule::kNone) + 1);

template <class Enum>
std::optional<Enum> find_name(std::span<const std::string_view> names, std::string_view name) {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

/// "a, b or c".
std::string listed(std::span<const std::string_view> names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text.append(i == 0 ? "" : i + 1 < names.size() ? ", " : " or ").append(names[i]);
  return text;
}

}  // namespace

std::string_view name_of(EnsembleType type) {
  return kTypeNames.at(static_cast<std::size_t>(type));
}
std::string_view name_of(PosteriorRule rule) {
  return kRuleNames.at(static_cast<std::size_t>(rule));
}

std::string_view name_of(Combination combination) {
  return kCombinationNames.at(static_cast<std::size_t>(combination));
}

std::optional<EnsembleType> ensemble_type_of(std::string_view name) {
  return find_name<EnsembleType>(kTypeNames, name);
}

std::string ensemble_types() { return listed(kTypeNames); }

std::string model_ensemble_types() {
  static_assert(kTypeNames[kModelTypes] == "cluster_prior");
  return listed(std::span(kTypeNames).first(kModelTypes));
}

std::optional<PosteriorRule> posterior_rule_of(std::string_view name) {
  return find_name<PosteriorRule>(kRuleNames, name);
}

std::optional<Combination> combination_of(std::string_view name) {
  return find_name<Combination>(kCombinationNames, name);
}

std::vector<std::string> ensemble_type_names() { return {kTypeNames.begin(), kTypeNames.end()}; }

std::vector<std::string> posterior_rule_names() { return {kRuleNames.begin(), kRuleNames.end()}; }

std::vector<std::string> combination_names() {
  return {kCombinationNames.begin(), kCombinationNames.end()};
}

std::optional<EnsembleType> model_ensemble_type_of(std::string_view name) {
  const auto type = ensemble_type_of(name);
  return type && static_cast<std::size_t>(*type) >= kModelTypes ? std::nullopt : type;
}

std::string joined_names(std::span<const EnsembleType> types) {
  return compat::join(types, ",", [](EnsembleType type) { return name_of(type); });
}

PosteriorRule default_rule(EnsembleType type) {
  const bool fixed = type == EnsembleType::kSimpleAverage || type == EnsembleType::kClusterPrior ||
                     type == EnsembleType::kClustering;
  return fixed ? PosteriorRule::kNone : PosteriorRule::kLast;
}

}  // namespace btm
