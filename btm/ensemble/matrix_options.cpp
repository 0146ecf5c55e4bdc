#include "btm/ensemble/matrix_options.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "compat/base/error.h"
#include "compat/base/text.h"

namespace btm {

std::string row_name(EnsembleType type) { return "ensemble " + std::string(name_of(type)); }

void check_matrix_options(const EvalMatrixOptions& options) {
  const auto require = [](bool ok, const std::string& problem) {
    if (!ok) throw compat::UsageError(problem);
  };
  require(!options.models.empty(), "no model is given, expected NAME=CHECKPOINT");
  std::set<std::string> names;
  for (const auto& [name, path] : options.models) {
    require(!name.empty() && !path.empty(),
            "'" + compat::printable(name + "=" + path) + "', expected NAME=CHECKPOINT");
    require(names.insert(name).second,
            "the name '" + compat::printable(name) + "' is given to two models");
  }
  std::set<std::string> experts;
  for (const std::string& expert : options.experts) {
    require(names.contains(expert),
            "--experts names '" + compat::printable(expert) + "', which is no model");
    require(experts.insert(expert).second,
            "--experts names '" + compat::printable(expert) + "' twice");
  }
  require(!options.experts.empty() || (options.ensembles.empty() && !options.average),
          "ensembles and the average need --experts");
  require(!options.average || !names.contains("average"),
          "a model is named 'average', which is the name of the experts' average");
  for (const EnsembleType type : options.ensembles)
    require(!names.contains(row_name(type)),
            "a model is named '" + row_name(type) + "', which is the name of an ensemble's row");
  std::set<std::string> domains;
  for (const std::string& domain : options.domains)
    require(domains.insert(domain).second,
            "--domains names '" + compat::printable(domain) + "' twice");
  require(options.resamples >= 1 && options.block_tokens >= 1,
          "--resamples and --block-tokens are at least 1");
}

void leave_out(const std::string& model, EvalMatrixOptions& options) {
  if (options.average &&
      std::ranges::find(options.models, model, &std::pair<std::string, std::string>::first) ==
          options.models.end())
    options.average = false;
  std::erase_if(options.models, [&](const auto& one) { return one.first == model; });
  std::erase(options.experts, model);
  if (options.baseline == model) options.baseline.clear();
  if (options.models.empty())
    throw std::runtime_error("every model diverged: there is nothing to compare");
  if (!options.experts.empty()) return;
  options.ensembles.clear();
  options.average = false;
}

}  // namespace btm
