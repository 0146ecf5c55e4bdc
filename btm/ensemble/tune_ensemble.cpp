#include "btm/ensemble/tune_ensemble.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

/// What the experts gave to the tokens of a split, batch by batch in turn.
using CollectedScores = std::array<std::optional<TokenScores>, 2>;

/// Runs the experts. Batch i goes to part i % 2 with `halves`, to part 0 otherwise.
CollectedScores collect(const EnsembleEvalOptions& options, bool halves,
                        const EnsembleObserver& observer, Communicator& ranks,
                        EnsembleReport& report) {
  CollectedScores parts;
  std::size_t batches = 0;
  EnsembleObserver collecting = observer;
  collecting.eval.log = [](const std::string&) {};  // of a mixture that nobody asked for
  std::vector<float> log_p;
  collecting.scored = [&](const Batch& batch, std::span<const std::span<const float>> scores) {
    std::optional<TokenScores>& part = parts.at(halves ? batches++ % 2 : 0);
    if (!part) part.emplace(scores.size());
    log_p.resize(scores.size());
    batch.for_each_scored([&](std::int64_t, std::size_t place) {
      for (std::size_t e = 0; e < scores.size(); ++e)
        log_p[e] = scores[e].empty() ? -std::numeric_limits<float>::infinity() : scores[e][place];
      part->add(log_p);
    });
  };
  report = ensemble_eval(options, collecting, ranks);
  return parts;
}

WeightLosses losses_of(const TokenScores& scores, std::string data,
                       const std::vector<double>& uniform, const std::vector<double>& tuned) {
  WeightLosses losses{
      std::move(data), scores.tokens(), scores.loss(uniform), scores.loss(tuned), {}};
  for (std::size_t e = 0; e < scores.experts(); ++e)
    losses.experts.push_back(scores.expert_loss(e));
  return losses;
}

/// 1 / N each of the experts that take part, 0 for the others.
std::vector<double> uniform_weights(const EnsembleReport& report) {
  std::vector<double> weights;
  const auto taking_part = static_cast<double>(report.experts.size() - report.left_out.size());
  for (const std::string& name : report.experts)
    weights.push_back(
        std::ranges::find(report.left_out, name) == report.left_out.end() ? 1 / taking_part : 0);
  return weights;
}

}  // namespace

TunedEnsemble tune_ensemble(EnsembleEvalOptions options, const std::string& tune_on,
                            const TuneOptions& tune, const EnsembleObserver& observer,
                            Communicator& ranks) {
  const std::string target = options.data.gen_subset;
  const bool halves = tune_on == kTuneHalf;
  if (tune_on == target)
    throw compat::UsageError(compat::concat("--tune ", compat::printable(tune_on),
                                            " is the split to evaluate, whose result would not be "
                                            "held out: expected another split, or ",
                                            kTuneHalf));
  options.ensemble_type = EnsembleType::kSimpleAverage;
  TunedEnsemble result;
  result.options = tune;
  EnsembleReport report;
  if (!halves) options.data.gen_subset = tune_on;
  CollectedScores parts = collect(options, halves, observer, ranks, report);
  if (!halves) {
    options.data.gen_subset = target;
    parts[1] = std::move(collect(options, halves, observer, ranks, report)[0]);
  }
  if (!parts[0] || !parts[1])
    throw compat::UsageError(
        "the data are one batch, which has no halves (--batch-size makes more)");
  result.experts = report.experts;
  result.left_out = report.left_out;
  const std::vector<double> uniform = uniform_weights(report);
  result.tuned = tune_weights(*parts[0], uniform, tune);
  const auto half = [&](const char* which) { return which + target; };
  result.tuning = losses_of(*parts[0], halves ? half("the 1st, 3rd, ... batch of ") : tune_on,
                            uniform, result.tuned.weights());
  result.held_out = losses_of(*parts[1], halves ? half("the 2nd, 4th, ... batch of ") : target,
                              uniform, result.tuned.weights());
  return result;
}

}  // namespace btm
