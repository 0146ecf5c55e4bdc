#include "btm/cli/fitting_experts.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "btm/evaluator/load_scorer.h"
#include "btm/mixing/posterior.h"
#include "btm/mixing/predictor.h"
#include "btm/model/bf16_pairs.h"
#include "btm/model/transformer_lm.h"
#include "btm/model/weights.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/checkpoint/checkpoint.h"

namespace btm {
namespace {

/// Bytes of a model's parameters, and of one token's keys and values.
struct ModelSize {
  std::int64_t parameters = 0, token = 0;
};

ModelSize size_of(const compat::Checkpoint& checkpoint, const MachineOptions& machine) {
  // A GPU computes in half precision, a CPU packs matrices for it.
  constexpr std::int64_t kHalf = 2, kFp32 = 4;
  const Precision precision = precision_for(machine);
  const std::int64_t computed = precision.compute == at::kFloat ? kFp32 : kHalf;
  const bool packed = precision.products == Products::kBf16 && has_fast_bf16();
  ModelSize size;
  std::set<std::pair<const compat::Storage*, std::int64_t>> counted;  // tied weights, once
  for (const auto& [name, tensor] : checkpoint.model()) {
    if (!counted.emplace(tensor.storage.get(), tensor.offset).second) continue;
    const std::int64_t count = std::accumulate(tensor.shape.begin(), tensor.shape.end(),
                                               std::int64_t{1}, std::multiplies<>());
    size.parameters += count * (packed ? kHalf : computed);
    // Keys and values are as wide as their projections.
    if (name.ends_with("k_proj.weight") || name.ends_with("v_proj.weight"))
      size.token += (tensor.shape.empty() ? 0 : tensor.shape.front()) * computed;
  }
  return size;
}

/// The sizes of the largest of them.
ModelSize largest_size(const FoundModels& found, const MachineOptions& machine) {
  ModelSize largest;
  for (const OpenedModel& expert : found.checkpoints) {
    const ModelSize size = size_of(*expert, machine);
    largest.parameters = std::max(largest.parameters, size.parameters);
    largest.token = std::max(largest.token, size.token);
  }
  return largest;
}

/// The log-probability of each prompt by one expert.
std::vector<double> log_probs(const TextModelOptions& options, const FoundModels& found,
                              std::size_t expert,
                              std::span<const std::vector<std::int64_t>> prompts) {
  const FoundModels alone = found.only(std::span(&expert, 1));
  std::size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  const auto room = static_cast<std::int64_t>(longest + 1);
  MixtureOptions mixture;
  mixture.ensemble_type = EnsembleType::kSimpleAverage;
  const auto predictor = predictor_of(options, alone, mixture, {room + 64, {}});
  std::vector<double> sums;
  for (const std::vector<std::int64_t>& prompt : prompts) {
    Predictor::Step step;
    step.tokens.push_back(found.dictionary.eos());
    step.tokens.insert(step.tokens.end(), prompt.begin(), prompt.end());
    step.tokens.pop_back();  // the last token is a target only
    sums.push_back(0);
    if (prompt.empty()) continue;
    for (const std::int64_t token : prompt) step.wants.emplace_back().target = token;
    const std::optional<Predictor::Row> row = predictor->open(room);
    if (!row) throw std::runtime_error("no room for a prompt");
    step.rows = {*row};
    step.counts = {static_cast<std::int64_t>(prompt.size())};
    for (const Readout& readout : predictor->advance(step)) sums.back() += readout.log_prob;
    predictor->close(*row);
  }
  return sums;
}

/// [E] the mean over prompts.
std::vector<double> mean_posterior(const std::vector<double>& prior,
                                   const std::vector<std::vector<double>>& scores) {
  std::vector<double> mean(prior.size());
  const std::size_t prompts = scores.front().size();
  for (std::size_t p = 0; p < prompts; ++p) {
    std::vector<double> logs;
    for (std::size_t e = 0; e < prior.size(); ++e)
      logs.push_back(std::log(prior[e]) + scores[e][p]);
    const double sum = log_sum_exp(logs);
    for (std::size_t e = 0; e < prior.size(); ++e)
      mean[e] += std::exp(logs[e] - sum) / static_cast<double>(prompts);
  }
  return mean;
}

}  // namespace

std::int64_t parse_memory(const std::string& text) {
  const std::size_t unit = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto number = compat::number_of<double>(std::string_view(text).substr(0, unit));
  std::string name = text.substr(unit);
  if (name.ends_with("iB")) name.resize(name.size() - 2);
  if (name.ends_with("B")) name.pop_back();
  const std::string units = "KMGT";
  const std::size_t power = name.empty() ? 0 : units.find(name) + 1;
  const double bytes = number ? *number * std::pow(1024.0, static_cast<double>(power)) : 0;
  if (!number || name.size() > 1 || (!name.empty() && power == 0) || !(bytes >= 1) || bytes > 1e18)
    throw compat::UsageError("'" + compat::printable(text) +
                             "', expected bytes with K, M, G or T, such as 8G");
  return static_cast<std::int64_t>(bytes);
}

std::size_t experts_that_fit(const TextModelOptions& options, const FoundModels& found,
                             std::int64_t memory, std::int64_t tokens) {
  const ModelSize size = largest_size(found, options.machine);
  const std::int64_t expert = std::max<std::int64_t>(1, size.parameters + size.token * tokens);
  return std::min(found.experts.size(), static_cast<std::size_t>(memory / expert));
}

std::string memory_note(const TextModelOptions& options, const FoundModels& found,
                        std::int64_t tokens) {
  for (const OpenedModel& expert : found.checkpoints)
    outline_model(*expert, found.dictionary, found.dictionary_file);
  const ModelSize size = largest_size(found, options.machine);
  const auto shown = [](std::int64_t bytes, double unit) {
    return compat::decimal(static_cast<double>(bytes) / unit, 1);
  };
  constexpr double kKilo = 1e3, kMega = 1e6;
  const std::size_t experts = found.experts.size();
  return compat::concat(
      "memory: ", shown(size.parameters, kMega), " MB of weights and ", shown(size.token, kKilo),
      " kB of keys and values a token",
      experts == 1 ? "" : compat::concat(" for each of ", experts, " experts"), "; at most ",
      compat::grouped(tokens), " tokens at once, in all ",
      shown(static_cast<std::int64_t>(experts) * (size.parameters + size.token * tokens), kMega),
      " MB");
}

void keep_experts(TextModelOptions& options, FoundModels& found,
                  std::span<const std::vector<std::int64_t>> prompts, std::size_t count,
                  const std::function<void(const std::string& line)>& say) {
  const MixtureOptions mixture = mixture_of(options, found);
  if (depends_on_text(mixture.ensemble_type))
    throw compat::UsageError(
        compat::concat("--memory does not choose experts with ", name_of(mixture.ensemble_type)));
  std::vector<double> prior = given_prior(mixture, found.experts);
  const bool given = !prior.empty();
  const std::size_t experts = found.experts.size();
  if (!given) prior.assign(experts, 1 / static_cast<double>(experts));
  std::vector<std::vector<double>> scores;
  for (std::size_t e = 0; e < experts; ++e) scores.push_back(log_probs(options, found, e, prompts));
  const std::vector<double> posterior = mean_posterior(prior, scores);

  std::vector<std::size_t> best(experts);
  std::iota(best.begin(), best.end(), 0);
  std::ranges::stable_sort(best, [&](auto a, auto b) { return posterior[a] > posterior[b]; });
  best.resize(count);
  std::string names;
  for (const std::size_t e : best)
    compat::append(names, names.empty() ? "" : ", ", found.experts[e].name, " (",
                   compat::decimal(posterior[e], 3), ")");
  say(compat::concat("memory for ", count, " of ", experts,
                     " experts, chosen by their posterior after the first prompts: ", names));
  std::ranges::sort(best);
  std::string numbers;
  double sum = 0;
  for (const std::size_t e : best) sum += prior[e];
  for (const std::size_t e : best)
    compat::append(numbers, numbers.empty() ? "" : ",", compat::general(prior[e] / sum, 17));
  found = found.only(best);
  if (given) options.mixture.precomputed_prior = numbers;
}

}  // namespace btm
