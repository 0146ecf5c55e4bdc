#include "btm/run/run_progress.h"

#include <algorithm>
#include <cmath>

#include "btm/run/training_costs.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

constexpr double kBytesPerToken = 3;  ///< A guess, for a vocabulary of some thousand pieces.
constexpr std::int64_t kBlocksOfInterval = 10;  ///< kFewestBlocks of btm/evaluator/bootstrap.h.
constexpr std::int64_t kBlockTokens = 512;      ///< The default of btm eval-matrix --block-tokens.

/// 0 for a file that is not there.
double size_of(const fs::path& file) {
  std::error_code missing;
  const auto size = fs::file_size(file, missing);
  return missing ? 0 : static_cast<double>(size);
}

/// Bytes of the text that a domain is evaluated on; 0 where that is not known.
double evaluated_bytes(const Plan& plan, const std::string& domain) {
  if (plan.has_corpus())
    return size_of(plan.corpus) * plan.held_out / static_cast<double>(plan.clusters);
  if (!plan.data_bin.empty()) return 0;
  if (plan.has_text_held_out())
    return size_of(Plan::of_domain(plan.train, domain)) * plan.text_held_out;
  return size_of(Plan::of_domain(plan.split == "valid" ? plan.valid : plan.test, domain));
}

}  // namespace

RunProgress::RunProgress(const Plan& plan, const Lineup& lineup, const StepGraph& graph) {
  constexpr double kTokenizerBytes = 100;  // that cost as much as a token of training
  constexpr double kForward = 1.0 / 3;     // of the cost of training
  double read = 0, evaluated = 0;
  for (const std::string& domain : lineup.domains) {
    read += plan.has_corpus()       ? 0
            : plan.data_bin.empty() ? size_of(Plan::of_domain(plan.train, domain))
                                    : 0;
    evaluated += evaluated_bytes(plan, domain) / kBytesPerToken;
  }
  if (plan.has_corpus()) read = size_of(plan.corpus);
  for (const Step& step : graph.steps()) work_[step.name] = {};
  add_trainings(plan, lineup);
  for (const char* const name : {"tokeniser", "clusters"})
    if (const auto step = work_.find(name); step != work_.end())
      step->second.tokens = read / kTokenizerBytes;
  // Each model reads each domain, and each expert also what gives the prior.
  work_["evaluate"].tokens =
      evaluated * kForward * static_cast<double>(2 * lineup.experts().size() + 3);
  for (const auto& [name, work] : work_) total_ += work.tokens;
}

void RunProgress::add_trainings(const Plan& plan, const Lineup& lineup) {
  for (const Training& training : trainings(plan, lineup))
    if (const auto step = work_.find(training.step); step != work_.end())
      step->second = {static_cast<double>(training.tokens()), training.first_update,
                      training.last_update};
}

double RunProgress::share_of(const Work& work, const LogProgress& progress) const {
  if (progress.update && work.last_update > work.first_update)
    return std::clamp(static_cast<double>(*progress.update - work.first_update) /
                          static_cast<double>(work.last_update - work.first_update),
                      0.0, 1.0);
  return progress.share.value_or(0);
}

double RunProgress::share(const std::set<std::string>& done,
                          const std::vector<std::string>& running, const RunState& state) const {
  double sum = 0;
  for (const std::string& name : done)
    if (const auto step = work_.find(name); step != work_.end()) sum += step->second.tokens;
  for (const std::string& name : running)
    if (const auto step = work_.find(name); step != work_.end())
      sum += step->second.tokens * share_of(step->second, progress_in(state.log_of(name)));
  return total_ > 0 ? std::min(sum / total_, 1.0) : 0;
}

std::string RunProgress::text(const std::vector<std::string>& running,
                              const RunState& state) const {
  return compat::join(running, ", ", [&](const std::string& name) {
    const LogProgress progress = progress_in(state.log_of(name));
    const auto step = work_.find(name);
    if (progress.update && step != work_.end() && step->second.last_update > 0)
      return compat::concat(name, " (update ", *progress.update, '/', step->second.last_update,
                            ')');
    std::string inside = progress.share ? compat::decimal(*progress.share * 100, 0) + "%" : "";
    if (!progress.text.empty()) inside += (inside.empty() ? "" : ", ") + progress.text;
    return inside.empty() ? name : compat::concat(name, " (", inside, ')');
  });
}

std::vector<std::string> small_test_sets(const Plan& plan, const Lineup& lineup) {
  const double needed = static_cast<double>(kBlocksOfInterval * kBlockTokens);
  std::vector<std::string> lines;
  if (std::ranges::find(plan.eval_flags, "--block-tokens") != plan.eval_flags.end()) return lines;
  for (const std::string& domain : lineup.evaluated) {
    const double bytes = evaluated_bytes(plan, domain);
    if (bytes == 0 || bytes / kBytesPerToken >= needed) continue;
    // Rounded down and up, so that what is there never seems to be as much as what is needed.
    lines.push_back(compat::concat(
        "the ", plan.split, " text of ", compat::printable(domain), " is small (",
        compat::grouped(std::llround(std::max(1.0, std::floor(bytes / 1000)))),
        " kB): an interval, and with it a verdict, "
        "needs about ",
        compat::grouped(std::llround(needed)), " tokens, some ",
        compat::grouped(std::llround(std::ceil(needed * kBytesPerToken / 1000))), " kB"));
  }
  return lines;
}

}  // namespace btm
