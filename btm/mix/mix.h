// Branch-Train-MiX (Sukhbaatar et al., arXiv:2403.07816): one mixture of experts from a forest. No
// LibTorch here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "btm/evaluator/eval_options.h"
#include "btm/model/routing.h"
#include "compat/checkpoint/named_models.h"

namespace btm {

/// The first weights of the routers. E experts, C width.
enum class RouterStart : std::uint8_t {
  kRandom,  ///< Uniform in +-1/sqrt(C), as fairseq's gates.
  kDomain,  ///< Row e is proportional to mean_e - mean, where mean_e is the mean of what the router
            ///< sees of expert e's domain. One factor per layer gives logits of variance 1.
  kPosterior  ///< The rows whose softmax comes nearest, in cross-entropy, to the experts' posterior
              ///< after the tokens so far (Posterior, kFull, uniform prior).
};

/// Text of each expert's domain: the folder of its name.
struct RouterData {
  std::string folder;           ///< Of domains, with dict.txt.
  std::string split = "valid";  ///< SPLIT_DOMAIN, or SPLIT.
  std::int64_t tokens = 2048;   ///< Of a domain, at least; whole batches are read.
};

struct MixOptions {
  std::vector<compat::NamedModel> experts;  ///< Dense models, in the order of the mixture.
  std::vector<double> weights;              ///< Of the shared parts' average; empty: equal.
  std::filesystem::path output;             ///< The file to write.
  Routing routing = Routing::kTop2;
  RouterStart router = RouterStart::kRandom;
  std::filesystem::path router_from;  ///< A mixture whose routers are taken; empty: none.
  RouterData data;                    ///< For kDomain and kPosterior.
  std::uint64_t seed = 1;             ///< Of kRandom.
  MachineOptions machine;
};

struct MixReport {
  std::string routing;  ///< Its name.
  std::size_t experts = 0, layers = 0;
  std::int64_t parameters = 0;  ///< All of them; a tied output counts once.
  std::int64_t active = 0;      ///< Those that a token uses.
};

/// Whether the model at `path` (a file, or what Checkpoint::open takes) is a mixture.
bool is_mixture(const std::filesystem::path& path);

/// Writes the mixture: the experts' feed-forward blocks as they are, all else averaged as
/// merge_checkpoints() does, a router for each layer. UsageError for no experts, FormatError for
/// experts that differ in names, shapes, settings or dictionary, for NaN and infinity, and for a
/// router of other experts. The output appears whole or not at all.
MixReport mix_experts(const MixOptions& options);

struct RemixOptions {
  std::filesystem::path mixture;
  std::vector<compat::NamedModel> add;  ///< Dense models that become experts, after the others.
  compat::ExpertChoice choice;          ///< Which experts of the mixture stay.
  std::filesystem::path output;
  std::uint64_t seed = 1;  ///< Of kRandom.
  /// The rows of new experts. kRandom: numbers with the root mean square of the rows that are
  /// there. kDomain: see added_rows_from_text(). kPosterior needs the dense models, which a mixture
  /// does not hold: UsageError.
  RouterStart router = RouterStart::kRandom;
  RouterData data;  ///< For kDomain.
  MachineOptions machine;
};

/// Writes a mixture with experts more or fewer. Everything else stays, the other experts' rows of
/// the routers too. Errors as mix_experts().
MixReport remix(const RemixOptions& options);

}  // namespace btm
