#include "btm/cli/mixture_flags.h"

#include "btm/branch/expert_cluster.h"
#include "btm/cli/cluster_flags.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {

using compat::flag_choice;
using compat::flag_integer;
using compat::flag_switch;
using compat::flag_text;

compat::FlagGroup mixture_flags(MixtureOptions& options, MixtureNames& names,
                                std::optional<EnsembleType> usual) {
  return {
      "Ensemble",
      {flag_choice(
           "ensemble-type", names.ensemble_type, ensemble_type_names(),
           "the prior of each text: given; the mean of the posteriors so far; 1/N; 1/N at every "
           "token; by the text before a token; the last three as eval_cbtm.py of c-BTM" +
               (usual ? compat::concat(" (default: ", name_of(*usual), ')') : std::string())),
       flag_text("precomputed-prior", "P,P,...", options.precomputed_prior,
                 "cached_prior's probabilities, one for each expert; or the JSON of btm weigh"),
       flag_integer("eval-topk", "K", options.eval_topk,
                    "keep the K largest of the prior (given or cluster_prior), or of c-BTM's "
                    "weights of a token; 0: all",
                    0),
       flag_switch("sparse", options.sparse,
                   "leave out experts of prior 0: they do not run and do not count at a text's "
                   "start"),
       flag_choice("posterior", names.posterior, posterior_rule_names(),
                   "what moves the weights: the previous token alone, all of the text so far, "
                   "nothing (default: last; none for cluster_prior; c-BTM's types have their own)"),
       flag_choice("combine", names.combine, combination_names(),
                   "one distribution of the experts': their weighted mean, or their weighted "
                   "product, normalised over the dictionary (default: mean; ensemble-eval keeps "
                   "scores of targets alone and has no product)")}};
}

compat::FlagGroup cluster_prior_flags(ClusterPriorOptions& options,
                                      const std::string& temperature) {
  compat::Flag heat = temperature_flag(options.temperature);
  heat.names = temperature;
  return {"Cluster priors (c-BTM)",
          {flag_text("cluster-model", "FILE", options.model,
                     "a model of btm cluster train, or a folder with c-BTM's tfidf.pkl and "
                     "kmeans.pkl; forest.json, an expert's training data or its "
                     "name (c0, c1, ...) tell its cluster; otherwise the experts are in the order "
                     "of clusters"),
           heat,
           flag_text("cluster-post-process", "HOW", options.post_process,
                     "for a model of words: sentencepiece or subword_nmt joins the data's "
                     "pieces; for ids of GPT-2 the name of its encoder.json")}};
}

void set_mixture(MixtureOptions& options, const MixtureNames& names,
                 std::optional<EnsembleType> usual) {
  const auto type = names.ensemble_type.empty() ? usual : ensemble_type_of(names.ensemble_type);
  if (!type) throw compat::UsageError("--ensemble-type is missing, expected " + ensemble_types());
  options.ensemble_type = *type;
  options.posterior = posterior_rule_of(names.posterior);
  options.combination = combination_of(names.combine).value_or(Combination::kMean);
  if (is_of_cbtm(*type) && options.posterior && *options.posterior != default_rule(*type))
    throw compat::UsageError(compat::concat("--posterior ", names.posterior,
                                            " does not go with --ensemble-type ", name_of(*type),
                                            ", expected ", name_of(default_rule(*type))));
  if (*type == EnsembleType::kSimpleAverage && options.posterior &&
      *options.posterior != PosteriorRule::kNone)
    throw compat::UsageError(compat::concat(
        "--posterior ", names.posterior,
        " has no effect with --ensemble-type simple_average, "
        "whose weights never change: expected none, or another type such as uniform_prior"));
}

void set_cluster_origins(MixtureOptions& options, std::span<const compat::NamedModel> experts) {
  for (const compat::NamedModel& expert : experts)
    options.cluster.origins.push_back(cluster_of_expert(expert.path));
}

}  // namespace btm
