#include "btm/serve/served_models.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "btm/serve/protocol_error.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

constexpr std::size_t kMixturesKept = 64;

}  // namespace

ServedModels::ServedModels(std::string ensemble, std::vector<std::string> experts,
                           Posterior mixture)
    : experts_(std::move(experts)), mixture_(std::make_shared<Posterior>(std::move(mixture))) {
  if (experts_.size() > 1) names_.push_back(std::move(ensemble));
  names_.insert(names_.end(), experts_.begin(), experts_.end());
}

bool ServedModels::has(const std::string& name) const {
  return std::ranges::find(names_, name) != names_.end();
}

std::size_t ServedModels::expert_named(const std::string& name, const std::string& field) const {
  const auto found = std::ranges::find(experts_, name);
  if (found == experts_.end())
    throw bad_field(field, "there is no expert '" + compat::printable(name) + "'");
  return static_cast<std::size_t>(found - experts_.begin());
}

/// Equal for requests with equal mixtures, and not longer for names that are repeated.
std::string ServedModels::key_of(const MixtureRequest& request) const {
  std::vector<std::string> said(experts_.size());
  for (const std::string& name : request.without) said[expert_named(name, "without")] = "-";
  for (std::size_t i = 0; i < request.experts.size(); ++i)
    said[expert_named(request.experts[i], "experts")] =
        request.prior.empty() ? "+" : compat::shortest(request.prior[i]);
  std::string key = request.posterior ? std::string(name_of(*request.posterior)) : "";
  compat::append(key, '\n', request.top);
  for (const std::string& one : said) compat::append(key, '\n', one);
  return key;
}

ServedModels::Choice ServedModels::choose(const CompletionRequest& request) {
  Choice choice;
  choice.name = request.model.value_or(names_.front());
  if (!has(choice.name))
    throw ProtocolError(404,
                        "there is no model '" + compat::printable(choice.name) +
                            "', GET /v1/models lists those that there are",
                        "model", "model_not_found");
  const bool whole = choice.name == names_.front();
  if (!whole || experts_.size() == 1) {
    if (request.mixture.chooses())
      throw bad_field("model",
                      "one expert alone answers, of which nothing can be chosen: expected "
                      "no 'posterior', 'experts', 'without' and 'top_experts'");
    if (experts_.size() > 1) choice.expert = expert_named(choice.name, "model");
    return choice;
  }
  choice.mixture = mixture_of(request.mixture);
  return choice;
}

std::shared_ptr<const Posterior> ServedModels::mixture_of(const MixtureRequest& request) {
  if (!request.chooses()) return mixture_;
  const std::string key = key_of(request);
  const auto found = made_.find(key);
  if (found != made_.end()) return found->second;
  if (made_.size() >= kMixturesKept) made_.clear();  // texts that use them keep them
  return made_.emplace(key, std::make_shared<Posterior>(made(request))).first->second;
}

Posterior ServedModels::made(const MixtureRequest& request) const {
  std::vector<bool> out(experts_.size(), !request.experts.empty());
  std::vector<double> weights(experts_.size(), 0.0);
  for (std::size_t i = 0; i < request.experts.size(); ++i) {
    const std::size_t e = expert_named(request.experts[i], "experts");
    out[e] = !request.prior.empty() && request.prior[i] == 0;
    if (!request.prior.empty()) weights[e] = request.prior[i];
  }
  for (const std::string& name : request.without) out[expert_named(name, "without")] = true;
  Prior prior = request.prior.empty() ? mixture_->prior() : Prior::given(weights);
  if (request.top > 0) {
    if (prior.text() != nullptr)
      throw bad_field("top_experts", "the prior depends on the text: --eval-topk has its number");
    for (std::size_t e = 0; e < out.size(); ++e) weights[e] = out[e] ? 0 : prior.weights()[e];
    weights = top_k_prior(weights, request.top);
    for (std::size_t e = 0; e < out.size(); ++e) out[e] = out[e] || weights[e] == 0;
  }
  std::vector<std::size_t> left_out;
  double rest = 0;
  for (std::size_t e = 0; e < out.size(); ++e) {
    if (out[e]) left_out.push_back(e);
    if (!out[e]) rest += prior.weights()[e];
  }
  if (!(rest > 0))
    throw bad_field(request.without.empty() ? "experts" : "without",
                    "no expert with a weight is left");
  prior.leave_out(left_out);
  return {std::move(prior), request.posterior.value_or(mixture_->rule()), mixture_->top_k(),
          mixture_->combination()};
}

}  // namespace btm
