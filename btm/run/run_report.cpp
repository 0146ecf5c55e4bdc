#include "btm/run/run_report.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "btm/mixing/ensemble_type.h"
#include "btm/report/evaluation_matrix.h"
#include "btm/report/html_page.h"
#include "btm/report/matrix_page.h"
#include "btm/run/build_steps.h"
#include "btm/run/generated_texts.h"
#include "btm/run/train_history.h"
#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/atomic_file.h"
#include "compat/program/console.h"

namespace btm {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// One training of the run.
struct Training {
  std::string step, name;
  std::int64_t first_update = 0, last_update = 0, tokens_per_update = 0;

  std::int64_t tokens() const { return (last_update - first_update) * tokens_per_update; }
};

std::vector<Training> trainings(const Plan& plan) {
  std::vector<Training> all{{"seed", "seed", 0, plan.seed_updates(), tokens_of_seed_update(plan)}};
  for (const std::string& domain : plan.experts)
    all.push_back({"expert." + domain, domain, plan.seed_updates(), plan.updates,
                   tokens_of_expert_update(plan)});
  if (plan.dense)
    all.push_back(
        {"dense", "dense", plan.seed_updates(), plan.updates, tokens_of_seed_update(plan)});
  return all;
}

std::filesystem::path matrix_file(const RunState& state) {
  return state.output() / "eval" / "matrix.json";
}

std::string verdict(const Plan& plan, const EvalMatrix& matrix) {
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
                           " for the ensemble (" + type + ") and " + ppl(dense->mean) +
                           " for the dense model of the same compute";
  if (!std::isfinite(mean.ratio)) return "No ratio" + both + ".";
  const std::string ratio = both + ", ratio " + fixed(mean.ratio, 3);
  const auto [low, high] = mean.ratio_interval;
  if (!std::isfinite(low) || !std::isfinite(high))
    return "No verdict" + ratio + ". The test sets are too small for an interval.";
  const std::string outcome = high < 1  ? "The ensemble is better"
                              : low > 1 ? "The dense model is better"
                                        : "No significant difference";
  return outcome + ratio + " (95% interval " + fixed(low, 3) + " to " + fixed(high, 3) + ").";
}

void add_loss_curves(HtmlPage& page, const std::vector<Training>& all, const RunState& state) {
  LineChart chart{.x_label = "update",
                  .y_label = "training loss (bits per token, log scale)",
                  .series = {},
                  .log_y = true};
  for (const Training& training : all) {
    TrainHistory history = read_train_log(state.log_of(training.step));
    if (!history.updates.empty())
      chart.series.push_back({training.name, std::move(history.updates), std::move(history.loss)});
  }
  if (chart.series.empty()) return;
  page.add_heading("Training loss");
  page.add_chart(chart,
                 "Each model has its own data: an expert its domain, the seed model and the dense "
                 "baseline all domains.");
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

void add_plan(HtmlPage& page, const Plan& plan) {
  Table table{{{"plan"}, {""}}, {}};
  table.rows = {
      {"domains", compat::join(plan.domains, ", ")},
      {"architecture", plan.arch},
      {"updates (seed phase)", compat::concat(plan.updates, " (", plan.seed_updates(), ')')},
      {"tokens per sample", std::to_string(plan.tokens_per_sample)},
      {"tokens per update", compat::grouped(tokens_of_expert_update(plan)) + " an expert, " +
                                compat::grouped(tokens_of_seed_update(plan)) + " seed and dense"},
      {"learning rate", short_number(plan.lr)},
      {"seed of random numbers", std::to_string(plan.seed)}};
  page.add_heading("Plan");
  page.add_table(table);
}

}  // namespace

void write_run_report(const Plan& plan, const RunState& state) {
  const EvalMatrix matrix = read_matrix(matrix_file(state));
  const std::vector<Training> all = trainings(plan);
  HtmlPage page(compat::concat("Branch-Train-Merge: ", plan.experts.size(), " experts"));
  if (const std::string text = verdict(plan, matrix); !text.empty()) page.add_paragraph(text);
  add_matrix(page, matrix);
  add_loss_curves(page, all, state);
  if (!plan.prompts.empty()) add_generated_texts(page, plan, state.output());
  add_cost(page, all, state);
  add_plan(page, plan);
  ordered_json summary{{"verdict", verdict(plan, matrix)},
                       {"trainings", ordered_json::array()},
                       {"mean_perplexity", ordered_json::object()}};
  for (const Training& training : all) {
    const auto seconds = state.seconds_of(training.step);
    summary["trainings"].push_back({{"name", training.name},
                                    {"tokens", training.tokens()},
                                    {"seconds", seconds ? json(*seconds) : json()}});
  }
  for (const MatrixRow& row : matrix.rows)
    summary["mean_perplexity"][row.name] =
        std::isfinite(row.mean.perplexity) ? json(row.mean.perplexity) : json();
  page.write(state.output() / "report.html");
  compat::write_file_atomically(state.output() / "summary.json",
                                summary.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

std::string run_summary(const Plan& plan, const RunState& state) {
  const EvalMatrix matrix = read_matrix(matrix_file(state));
  const std::string text = verdict(plan, matrix);
  return to_text(perplexity_table(matrix), compat::table_width()) +
         (text.empty() ? "" : "\n" + text + "\n");
}

}  // namespace btm
