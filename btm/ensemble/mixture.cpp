#include "btm/ensemble/mixture.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

constexpr const char* kExpected = "the JSON of btm weigh";

void check_cluster_prior(const MixtureOptions& options) {
  if (options.cluster.model.empty())
    throw compat::UsageError(compat::concat("--ensemble-type ", name_of(options.ensemble_type),
                                            " needs --cluster-model"));
  if (options.sparse && options.eval_topk == 0)
    throw compat::UsageError(
        compat::concat("--sparse with ", name_of(options.ensemble_type), " needs --eval-topk"));
  if (options.sparse && options.ensemble_type == EnsembleType::kProductOfExperts)
    throw compat::UsageError(
        "--sparse does not go with product_of_experts, which asks all experts");
}

/// The prior in a file of btm weigh, in the order of `experts`.
std::vector<double> prior_of_file(const std::string& file,
                                  std::span<const compat::NamedModel> experts) {
  const auto mapped = compat::MappedFile::open(file);
  const compat::Location where{file, {}, {}};
  const nlohmann::json json =
      compat::parse_json_object(compat::as_chars(mapped->bytes()), where, kExpected);
  std::vector<std::string> names;
  std::vector<double> weights;
  try {
    names = json.at("experts").get<std::vector<std::string>>();
    weights = json.at("posterior").get<std::vector<double>>();
  } catch (const nlohmann::json::exception& error) {
    throw compat::FormatError(where,
                              compat::json_problem(error) + ", expected " + std::string(kExpected));
  }
  if (names.size() != weights.size())
    throw compat::FormatError(
        where, compat::concat("has ", names.size(), " experts and ", weights.size(), " weights"));
  const auto refuse = [&](const std::string& problem) {
    throw compat::UsageError("--precomputed-prior " + compat::printable(file, 4096) + ": " +
                             problem);
  };
  if (names.size() != experts.size())
    refuse(compat::concat("is about ", names.size(), " experts, and there are ", experts.size()));
  std::string numbers;
  for (const compat::NamedModel& expert : experts) {
    const auto found = std::ranges::find(names, expert.name);
    if (found == names.end())
      refuse("has no expert '" + compat::printable(expert.name) + "', but '" +
             compat::printable(names.front()) + "'");
    numbers += (numbers.empty() ? "" : ",") +
               nlohmann::json(weights[static_cast<std::size_t>(found - names.begin())]).dump();
  }
  return parse_prior(numbers, experts.size());
}

Prior make_prior(const MixtureOptions& options, std::span<const compat::NamedModel> experts,
                 const compat::Dictionary& dictionary) {
  if (depends_on_text(options.ensemble_type)) {
    check_cluster_prior(options);
    const bool product = options.ensemble_type == EnsembleType::kProductOfExperts;
    ClusterPriorOptions cluster = options.cluster;
    cluster.as_code = is_of_cbtm(options.ensemble_type);
    cluster.lag = cluster.as_code ? (product ? 2 : 1) : 0;
    // A product's weights are cut when the scores are in them (make_posterior).
    const std::int64_t top_k = product ? 0 : options.eval_topk;
    const std::vector<std::string> paths = compat::paths_of(experts);
    return Prior::of_text(std::make_shared<ClusterPrior>(cluster, top_k, dictionary, paths));
  }
  const std::vector<double> given = given_prior(options, experts);
  Prior prior = Prior::of_type(options.ensemble_type, experts.size(), given);
  if (!options.sparse) return prior;
  if (given.empty())
    throw compat::UsageError(
        "--sparse needs a prior that is known before the experts run: --precomputed-prior with "
        "cached_prior");
  for (std::size_t e = 0; e < given.size(); ++e)
    if (!(given[e] > 0)) prior.exclude(e);
  return prior;
}

}  // namespace

PosteriorRule rule_of(const MixtureOptions& options) {
  const PosteriorRule rule = default_rule(options.ensemble_type);
  if (options.ensemble_type == EnsembleType::kSimpleAverage || is_of_cbtm(options.ensemble_type))
    return rule;
  return options.posterior.value_or(rule);
}

std::vector<double> read_prior(const std::string& text,
                               std::span<const compat::NamedModel> experts) {
  std::error_code unknown;
  if (std::filesystem::is_regular_file(text, unknown)) return prior_of_file(text, experts);
  return parse_prior(text, experts.size());
}

std::vector<double> given_prior(const MixtureOptions& options,
                                std::span<const compat::NamedModel> experts) {
  switch (options.ensemble_type) {
    case EnsembleType::kUniformPrior:
      return Prior::uniform(experts.size()).weights();
    case EnsembleType::kCachedPrior:
      if (options.precomputed_prior.empty())
        throw compat::UsageError("--ensemble-type cached_prior needs --precomputed-prior");
      [[fallthrough]];
    case EnsembleType::kSimpleAverage:
      if (options.precomputed_prior.empty()) return {};
      return top_k_prior(read_prior(options.precomputed_prior, experts), options.eval_topk);
    case EnsembleType::kUpdatingPrior:
    case EnsembleType::kClusterPrior:
    case EnsembleType::kClustering:
    case EnsembleType::kProductOfExperts:
    case EnsembleType::kBayes:
      break;
  }
  return {};
}

Posterior make_posterior(const MixtureOptions& options, std::span<const compat::NamedModel> experts,
                         const compat::Dictionary& dictionary) {
  const bool cuts_weights = options.ensemble_type == EnsembleType::kBayes ||
                            options.ensemble_type == EnsembleType::kProductOfExperts;
  return {make_prior(options, experts, dictionary), rule_of(options),
          cuts_weights ? options.eval_topk : 0, options.combination};
}

}  // namespace btm
