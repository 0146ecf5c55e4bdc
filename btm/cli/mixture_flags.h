// The flags of a mixture of experts, the same in every command that mixes.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "btm/ensemble/mixture.h"
#include "compat/checkpoint/named_models.h"
#include "compat/program/flag.h"

namespace btm {

/// The texts of flags that name something. set_mixture() reads them.
struct MixtureNames {
  std::string ensemble_type, posterior, combine;
};

/// `usual`: the type where none is given, for --help.
compat::FlagGroup mixture_flags(MixtureOptions& options, MixtureNames& names,
                                std::optional<EnsembleType> usual = {});
/// `temperature`: the name of the flag for the weights' temperature.
compat::FlagGroup cluster_prior_flags(ClusterPriorOptions& options,
                                      const std::string& temperature = "temperature");

/// Sets what `names` say; flag_choice() has checked them. Without a type, `usual`; UsageError
/// where that is nothing.
void set_mixture(MixtureOptions& options, const MixtureNames& names,
                 std::optional<EnsembleType> usual = {});

/// The cluster of each expert, for cluster_prior.
void set_cluster_origins(MixtureOptions& options, std::span<const compat::NamedModel> experts);

}  // namespace btm
