#include "btm/cli/average_tuning.h"

#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>

#include "btm/cli/eval_flags.h"
#include "btm/report/html_page.h"
#include "btm/report/table.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

namespace btm {
namespace {

using Json = nlohmann::ordered_json;

double bits(double nats) { return nats / std::numbers::ln2; }

/// The evaluations of a search, in a file that a later run takes up.
class Evaluations {
 public:
  Evaluations(std::filesystem::path file, Json settings)
      : file_(std::move(file)), settings_(std::move(settings)) {}

  /// Reads those of an earlier run with the same settings.
  void take_up() {
    const auto mapped = compat::MappedFile::open(file_);
    const compat::Location where{file_.string(), {}, {}};
    const nlohmann::json json = compat::parse_json_object(
        {reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()}, where,
        "the evaluations of btm average --tune");
    const auto refuse = [&](const std::string& problem) {
      throw compat::FormatError(where, problem + " (--overwrite begins anew)");
    };
    try {
      if (json.at("settings") != nlohmann::json(settings_))
        refuse("is of a search with other settings");
      for (const auto& trial : json.at("trials"))
        earlier_.push_back({trial.at("weights").get<GroupWeights>(),
                            trial.at("loss").get<double>() * std::numbers::ln2, false});
    } catch (const nlohmann::json::exception& error) {
      refuse(compat::json_problem(error));
    }
  }

  /// The loss of `weights`: kept, or from `evaluate`. The first kept one is evaluated again, to see
  /// that models and data are the same.
  double loss(const GroupWeights& weights, const std::function<double()>& evaluate) {
    const std::size_t at = made_++;
    if (at >= earlier_.size()) {
      const double loss = evaluate();
      add(weights, loss);
      return loss;
    }
    const double kept = earlier_[at].loss;
    constexpr double kTolerance = 1e-6;
    if (earlier_[at].weights != weights ||
        (at == 0 && !(std::abs(evaluate() - kept) <= kTolerance * std::abs(kept))))
      throw compat::FormatError({file_.string(), {}, {}},
                                "is of a search over other models or data (--overwrite begins "
                                "anew)");
    add(weights, kept);
    return kept;
  }
  std::size_t taken_up() const noexcept { return std::min(made_, earlier_.size()); }

  Json json() const { return {{"settings", settings_}, {"trials", trials_}}; }
  void write(const Json& json) const {
    compat::write_file_atomically(file_,
                                  json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }

 private:
  void add(const GroupWeights& weights, double loss) {
    trials_.push_back({{"weights", weights}, {"loss", bits(loss)}});
    if (made_ > earlier_.size()) write(json());
  }

  std::filesystem::path file_;
  Json settings_, trials_ = Json::array();
  std::vector<WeightSearch::Trial> earlier_;
  std::size_t made_ = 0;
};

struct MeasuredWeights {
  std::string name;
  AverageLosses tuning, held_out;
};

Table loss_table(const std::vector<MeasuredWeights>& rows, const AverageLoss& loss) {
  Table table{{{"weights"}, {"ppl, tuning", true}, {"ppl, held out", true}}, {}};
  if (loss.domains().size() > 1)
    for (const std::string& domain : loss.domains())
      table.columns.push_back({domain + ", held out", true});
  for (const MeasuredWeights& row : rows) {
    table.rows.push_back(
        {row.name, fixed(std::exp(row.tuning.mean), 4), fixed(std::exp(row.held_out.mean), 4)});
    if (loss.domains().size() > 1)
      for (const double domain : row.held_out.domains)
        table.rows.back().push_back(fixed(std::exp(domain), 2));
  }
  return table;
}

Table weight_table(const std::vector<compat::NamedModel>& models, const GroupWeights& weights) {
  Table table{{{"model"}}, {}};
  for (std::size_t g = 0; g < weights.size(); ++g)
    table.columns.push_back(
        {weights.size() == 1 ? "weight" : compat::concat("weight, group ", g), true});
  for (std::size_t n = 0; n < models.size(); ++n) {
    table.rows.push_back({models[n].name});
    for (const std::vector<double>& group : weights)
      table.rows.back().push_back(fixed(group[n], 4));
  }
  return table;
}

std::string said(const WeightSearch& search, const AverageTuning& tuning) {
  return compat::concat(search.trials.size(), " evaluations; number ", search.best + 1,
                        " is the best. ",
                        search.converged ? "Its steps became short."
                                         : "The evaluations ran out (--tune-evaluations).",
                        " Tuned on ", tuning.data.tuning, ", held out: ", tuning.data.held_out,
                        ". A perplexity is that of the domains' mean loss.");
}

Json json_of(const AverageLosses& losses) {
  Json domains = Json::array();
  for (const double domain : losses.domains) domains.push_back(bits(domain));
  return {{"mean", bits(losses.mean)}, {"domains", std::move(domains)}};
}

void write_page(const std::filesystem::path& file, const WeightSearch& search,
                const std::vector<Table>& tables, const std::string& text) {
  HtmlPage page("Tuned weights of an average");
  page.add_paragraph(text);
  for (const Table& table : tables) page.add_table(table);
  Series trials{"evaluation", {}, {}}, best{"best so far", {}, {}};
  for (std::size_t i = 0; i < search.trials.size(); ++i) {
    for (Series* const series : {&trials, &best}) series->x.push_back(static_cast<double>(i + 1));
    trials.y.push_back(std::exp(search.trials[i].loss));
    best.y.push_back(i == 0 ? trials.y[0] : std::min(best.y.back(), trials.y.back()));
  }
  page.add_chart(LineChart{"evaluation", "perplexity, tuning data", {trials, best}, false, false},
                 "The search, evaluation by evaluation.");
  page.write(file);
}

Json names_json(const std::vector<compat::NamedModel>& models) {
  Json names = Json::array();
  for (const compat::NamedModel& model : models) names.push_back(model.name);
  return names;
}

/// What decides which weights are evaluated, and in which order.
Json settings_of(const AverageTuning& tuning, const std::vector<compat::NamedModel>& models,
                 const std::vector<double>& start, const WeightSearchOptions& search,
                 const AverageLoss& loss) {
  return {{"experts", names_json(models)},
          {"start", start},
          {"groups", search.groups},
          {"evaluations", search.evaluations},
          {"seed", search.seed},
          {"tuning", tuning.data.tuning},
          {"domains", loss.domains()},
          {"tokens_per_sample", tuning.data.batching.tokens_per_sample},
          {"max_samples", tuning.data.batching.max_samples}};
}

}  // namespace

compat::FlagGroup AverageTuning::group() {
  using compat::flag_integer;
  using compat::flag_text;
  return {"Weights by the loss on data (linear)",
          {flag_text("tune", "DATA", data.folder,
                     "search the weights with the least loss on this data-bin or folder of "
                     "domains, and measure them on another split; tune.json and tune.html in "
                     "--output-dir"),
           flag_text("tune-subset", "SPLIT", data.tuning, "the split to search on"),
           flag_text("held-out-subset", "SPLIT", data.held_out, "the split to measure on"),
           flag_text("tune-domains", "LIST", domains,
                     "comma-separated folders of DATA (default: all that have both splits)"),
           flag_integer("tune-groups", "N", groups,
                        "groups of neighbouring layers with weights of their own", 1),
           flag_integer("tune-evaluations", "N", evaluations,
                        "losses of averages on the split to search on, at most", 1),
           tokens_per_sample_flag(data.batching), batch_size_flag(data.batching),
           max_tokens_flag(data.batching),
           flag_integer("max-samples", "N", data.batching.max_samples,
                        "stop after batch N of each set, counted from 0; 0: all", 0),
           compat::flag_switch("cpu", data.machine.cpu, "do not use a GPU")}};
}

GroupWeights tune_average(const AverageTuning& tuning,
                          const std::vector<compat::NamedModel>& models,
                          const std::vector<double>& start, std::uint64_t seed,
                          const std::filesystem::path& folder, bool overwrite,
                          const compat::LogOptions& log) {
  compat::Reporter reporter("btm average", "average --tune", log);
  AverageDataOptions data = tuning.data;
  data.domains = compat::split_at(tuning.domains, ',');
  const AverageLoss loss(models, data, [&](const std::string& line) { reporter.warn(line); });
  WeightSearchOptions options = tuning.search;
  options.groups = static_cast<std::size_t>(tuning.groups);
  options.evaluations = static_cast<std::size_t>(tuning.evaluations);
  options.seed = seed;
  if (tuning.groups > loss.layers())
    throw compat::UsageError(compat::concat("--tune-groups ", tuning.groups,
                                            ", and the models have ", loss.layers(), " layers"));
  std::filesystem::create_directories(folder);
  const std::filesystem::path file = folder / "tune.json";
  Evaluations evaluations(file, settings_of(tuning, models, start, options, loss));
  if (!overwrite && std::filesystem::exists(file)) evaluations.take_up();
  std::vector<std::vector<double>> starts{
      std::vector<double>(models.size(), 1.0 / static_cast<double>(models.size()))};
  if (!start.empty()) starts.push_back(start);
  std::int64_t done = 0;
  double best = INFINITY;
  const WeightSearch search = search_weights(starts, options, [&](const GroupWeights& weights) {
    const double found = evaluations.loss(weights, [&] { return loss.tuning(weights).mean; });
    best = std::min(best, found);
    reporter.progress(++done, tuning.evaluations, [&] {
      return compat::ProgressBar::Stats{{"ppl", compat::decimal(std::exp(best), 4)}};
    });
    return found;
  });
  reporter.end_progress();
  const GroupWeights& weights = search.trials[search.best].weights;
  std::vector<MeasuredWeights> rows;
  const auto measure = [&](const char* name, const GroupWeights& of) {
    rows.push_back({name, loss.tuning(of), loss.held_out(of)});
  };
  measure("uniform", {starts.front()});
  if (!start.empty()) measure("given", {start});
  measure("tuned", weights);
  const std::vector<Table> tables{loss_table(rows, loss), weight_table(models, weights)};
  const std::string text = said(search, tuning);
  for (const Table& table : tables) std::cout << to_text(table) << "\n";
  std::cout << text << std::endl;
  Json json = evaluations.json();
  json["experts"] = names_json(models);
  if (weights.size() == 1) json["posterior"] = weights.front();
  json["weights"] = weights;
  json["converged"] = search.converged;
  json["best"] = search.best;
  for (const MeasuredWeights& row : rows)
    json["losses"][row.name] = {{"tuning", json_of(row.tuning)},
                                {"held_out", json_of(row.held_out)}};
  evaluations.write(json);
  write_page(folder / "tune.html", search, tables, text);
  return weights;
}

}  // namespace btm
