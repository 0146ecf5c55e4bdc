#include "btm/run/run_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>

#include "btm/mixing/ensemble_type.h"
#include "btm/report/evaluation_matrix.h"
#include "btm/report/html_page.h"
#include "btm/report/matrix_page.h"
#include "btm/report/routing_page.h"
#include "btm/run/build_steps.h"
#include "btm/run/generated_texts.h"
#include "btm/run/preprocess_log.h"
#include "btm/run/train_history.h"
#include "btm/run/training_costs.h"
#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/base/version.h"
#include "compat/io/atomic_file.h"
#include "compat/program/console.h"

namespace btm {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::filesystem::path matrix_file(const RunState& state) {
  return state.output() / "eval" / "matrix.json";
}

/// What the dense model is beside the experts: of the same compute, unless experts came later.
std::string dense_text(const Lineup& lineup) {
  if (lineup.brought.empty() && lineup.trained == lineup.seed_domains)
    return "the dense model of the same compute";
  const auto shared = std::ranges::count_if(lineup.trained, [&](const std::string& name) {
    return std::ranges::find(lineup.seed_domains, name) != lineup.seed_domains.end();
  });
  return compat::concat("the dense model, which has the compute of ", lineup.seed_domains.size(),
                        " experts (of these domains, ", shared, " of the ", lineup.experts().size(),
                        " experts were trained)");
}

std::string verdict(const Plan& plan, const Lineup& lineup, const EvalMatrix& matrix) {
  if (plan.ensembles.empty() || !plan.dense) return {};
  const std::string type(name_of(plan.ensembles.front()));
  const MatrixRow* const ensemble = matrix.find_row("ensemble " + type);
  const MatrixRow* const dense = matrix.find_row("dense");
  if (ensemble == nullptr || dense == nullptr) return {};
  const MatrixCell& mean = ensemble->mean;
  const auto ppl = [](const MatrixCell& cell) {
    return std::isfinite(cell.perplexity) ? fixed(cell.perplexity, 2) : "infinite";
  };
  const std::string both = ": mean perplexity over the domains " + ppl(mean) +
                           " for the ensemble (" + type + ") and " + ppl(dense->mean) + " for " +
                           dense_text(lineup);
  if (!std::isfinite(mean.ratio)) return "No ratio" + both + ".";
  const std::string ratio = both + ", ratio " + fixed(mean.ratio, 3);
  const auto [low, high] = mean.ratio_interval;
  if (!std::isfinite(low) || !std::isfinite(high))
    return "No verdict" + ratio + ". The " + plan.split +
           " sets are too small for an interval: " + missing_text(matrix) + ".";
  const std::string outcome = high < 1  ? "The ensemble is better"
                              : low > 1 ? "The dense model is better"
                                        : "No significant difference";
  return outcome + ratio + " (95% interval " + fixed(low, 3) + " to " + fixed(high, 3) + ").";
}

/// The curves of all trainings. What goes on from the seed model begins at its last point.
void add_loss_curves(HtmlPage& page, const std::vector<Training>& all, const RunState& state) {
  LineChart chart{.x_label = "update",
                  .y_label = "training loss (bits per token, log scale)",
                  .series = {},
                  .log_y = true,
                  .label =
                      "Training loss over the updates of the seed model, each expert and the "
                      "dense baseline"};
  const TrainHistory seed = read_train_log(state.log_of("seed"));
  for (const Training& training : all) {
    TrainHistory history = read_train_log(state.log_of(training.step));
    if (history.updates.empty()) continue;
    if (training.step == "mixture") {  // its own updates count from 0
      for (double& update : history.updates) update += static_cast<double>(training.first_update);
    } else if (training.step != "seed" && !seed.updates.empty()) {
      history.updates.insert(history.updates.begin(), seed.updates.back());
      history.loss.insert(history.loss.begin(), seed.loss.back());
    }
    chart.series.push_back({training.name, std::move(history.updates), std::move(history.loss)});
  }
  if (chart.series.empty()) return;
  page.add_heading("Training loss");
  page.add_chart(chart,
                 "Each model has its own data: an expert its domain, the seed model and the dense "
                 "baseline all domains. What goes on from the seed model begins where it ends, and "
                 "a mixture where the experts end.");
}

/// The sets of the domains, from the logs of their preprocessing.
void add_data(HtmlPage& page, const Lineup& lineup, const RunState& state) {
  Table table{
      {{"domain"}, {"set"}, {"documents", true}, {"tokens", true}, {"<unk>", true}, {"left out"}},
      {}};
  for (const std::string& domain : lineup.domains)
    for (PreparedSet& set : read_preprocess_log(state.log_of("preprocess." + domain)))
      table.rows.push_back({domain, std::move(set.name), compat::grouped(set.documents),
                            compat::grouped(set.tokens),
                            set.unknown.empty() ? "–" : std::move(set.unknown),
                            set.left_out.empty() ? "–" : std::move(set.left_out)});
  if (table.rows.empty()) return;
  page.add_heading("Data");
  page.add_table(
      table,
      "<unk> is the share of tokens that the dictionary does not have. Sets that are held "
      "out of one text have one number for all, in the row of train.");
}

/// The commands of the steps, with paths as seen from the run's folder, so that a moved project
/// shows no old place.
void add_commands(HtmlPage& page, const Plan& plan, const Lineup& lineup) {
  const std::filesystem::path project = std::filesystem::absolute(plan.file).parent_path();
  const std::string there = project.string() + "/",
                    here = project.lexically_relative(plan.output).string() + "/";
  std::string text;
  const StepGraph graph = build_steps(plan, lineup);
  for (const Step& step : graph.steps()) {
    text += "# " + step.name + "\n";
    for (const CommandLine& command : step.commands) {
      std::string line = shell_text(command);
      for (std::size_t at = line.find(there); at != std::string::npos;
           at = line.find(there, at + here.size()))
        line.replace(at, there.size(), here);
      text += line + "\n";
    }
  }
  page.add_heading("Commands");
  page.add_paragraph("The steps of " + plan.file.filename().string() +
                     ", as they run in the folder of this report.");
  page.add_lines(text);
}

/// "1,234,567 parameters" of the seed model, as the table of sizes has them; "–" where the matrix
/// does not know them.
std::string size_text(const EvalMatrix& matrix) {
  const auto seed = std::ranges::find(matrix.rows, "seed", &MatrixRow::name);
  return seed == matrix.rows.end() || seed->parameters == 0
             ? "–"
             : compat::grouped(seed->parameters) + " parameters";
}

/// Where the mixture sends the tokens of each domain.
void add_mixture(HtmlPage& page, const Plan& plan, const RunState& state) {
  if (!plan.mix.wanted()) return;
  page.add_heading("Which domain goes to which expert of the mixture");
  add_routing(page, read_routing(state.output() / "routing" / "routing.json"));
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::array<char, 32> text{};
  if (::gmtime_r(&now, &parts) == nullptr ||
      std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts) == 0)
    return "–";
  return text.data();
}

void add_cost(HtmlPage& page, const std::vector<Training>& all, const RunState& state) {
  Table table{
      {{"training"}, {"updates", true}, {"tokens", true}, {"time", true}, {"tokens/s", true}}, {}};
  for (const Training& training : all) {
    const auto seconds = state.seconds_of(training.step);
    table.rows.push_back(
        {training.name, compat::concat(training.first_update, "–", training.last_update),
         compat::grouped(training.tokens()), seconds ? duration_text(*seconds) : "–",
         seconds && *seconds > 0
             ? compat::grouped(std::llround(static_cast<double>(training.tokens()) / *seconds))
             : "–"});
  }
  page.add_heading("Cost of training");
  page.add_table(
      table,
      "The dense baseline continues the seed model with as many tokens as all experts together, so "
      "that both ways cost the same. Time is wall clock, while other steps may run beside.");
}

void add_plan(HtmlPage& page, const Plan& plan, const Lineup& lineup, const EvalMatrix& matrix) {
  Table table{{{"plan"}, {""}}, {}};
  table.rows = {
      {"domains", compat::join(plan.domains, ", ")},
      {"architecture", plan.arch},
      {"size of a model", size_text(matrix)},
      {"updates (seed phase)", compat::concat(plan.updates, " (", plan.seed_updates(), ')')},
      {"tokens per sample", std::to_string(plan.tokens_per_sample)},
      {"tokens per update", compat::grouped(tokens_of_expert_update(plan)) + " an expert, " +
                                compat::grouped(tokens_of_seed_update(plan, lineup)) +
                                " seed and dense"},
      {"learning rate", short_number(plan.lr)},
      {"seed of random numbers", std::to_string(plan.seed)},
      {"domains of the seed model", compat::join(lineup.seed_domains, ", ")},
      {"experts", compat::join(lineup.experts(), ", ")},
      {"btm", std::string(compat::program_version())},
      {"written", today()}};
  page.add_heading("Plan");
  page.add_table(table);
}

}  // namespace

void write_run_report(const Plan& plan, const Lineup& lineup, const RunState& state) {
  const EvalMatrix matrix = read_matrix(matrix_file(state));
  const std::vector<Training> all = trainings(plan, lineup);
  HtmlPage page("Branch-Train-Merge: " + std::to_string(lineup.experts().size()) + " experts");
  const std::string text = verdict(plan, lineup, matrix);
  if (const std::string first = text.empty() ? matrix_verdict(matrix) : text; !first.empty())
    page.add_paragraph(first);
  const std::vector<double> costs = training_costs(plan, lineup, matrix);
  add_matrix(page, matrix, costs);
  add_mixture(page, plan, state);
  add_loss_curves(page, all, state);
  if (!plan.prompts.empty()) {
    Plan shown = plan;
    shown.experts = lineup.experts();
    add_generated_texts(page, shown, state.output());
  }
  add_cost(page, all, state);
  add_data(page, lineup, state);
  add_plan(page, plan, lineup, matrix);
  add_commands(page, plan, lineup);
  ordered_json summary{{"verdict", verdict(plan, lineup, matrix)},
                       {"trainings", ordered_json::array()},
                       {"mean_perplexity", ordered_json::object()},
                       {"perplexity", ordered_json::object()},
                       {"models", ordered_json::object()}};
  for (const Training& training : all) {
    const auto seconds = state.seconds_of(training.step);
    summary["trainings"].push_back({{"name", training.name},
                                    {"tokens", training.tokens()},
                                    {"seconds", seconds ? json(*seconds) : json()}});
  }
  const auto number = [](double value) { return std::isfinite(value) ? json(value) : json(); };
  for (std::size_t r = 0; r < matrix.rows.size(); ++r) {
    const MatrixRow& row = matrix.rows[r];
    summary["mean_perplexity"][row.name] = number(row.mean.perplexity);
    for (std::size_t d = 0; d < matrix.domains.size(); ++d)
      summary["perplexity"][row.name][matrix.domains[d]] = number(row.cells[d].perplexity);
    summary["models"][row.name] = {{"ratio", number(row.mean.ratio)},
                                   {"parameters", row.parameters},
                                   {"active_parameters", row.active},
                                   {"training_cost", number(costs[r])}};
  }
  page.write(state.output() / "report.html");
  compat::write_file_atomically(state.output() / "summary.json",
                                summary.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

std::string run_summary(const Plan& plan, const Lineup& lineup, const RunState& state) {
  const EvalMatrix matrix = read_matrix(matrix_file(state));
  const std::string text = verdict(plan, lineup, matrix);
  const Table table = perplexity_table(matrix, training_costs(plan, lineup, matrix));
  return to_text(table, compat::table_width()) + (text.empty() ? "" : "\n" + text + "\n");
}

std::string next_commands(const RunState& state) {
  const std::string forest = compat::printable((state.output() / "experts").string(), 4096);
  return "report: " + compat::printable((state.output() / "report.html").string(), 4096) +
         "\nforest: " + forest + "\nnext:   btm score " + forest +
         " --text 'A sentence.'\n        btm generate " + forest +
         " 'A beginning' --sampling --sampling-topp 0.9\n        btm serve " + forest + "\n";
}

}  // namespace btm
