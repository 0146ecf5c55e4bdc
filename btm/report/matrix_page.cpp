#include "btm/report/matrix_page.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// What cannot be drawn, infinity, counts as what is not known.
double drawn(double value) { return std::isfinite(value) ? value : kNan; }

/// A row's cells and its mean.
std::vector<const MatrixCell*> cells_of(const MatrixRow& row) {
  std::vector<const MatrixCell*> cells;
  for (const MatrixCell& cell : row.cells) cells.push_back(&cell);
  cells.push_back(&row.mean);
  return cells;
}

std::string interval_text(const Interval& interval, int digits) {
  if (!std::isfinite(interval.low)) return "–";
  return fixed(interval.low, digits) + "–" + fixed(drawn(interval.high), digits);
}

bool knows_sizes(const EvalMatrix& matrix) {
  return std::ranges::any_of(matrix.rows, [](const MatrixRow& row) { return row.parameters > 0; });
}

/// The columns of sizes and costs, for perplexity_table() and size_table().
void add_size_columns(Table& table, const EvalMatrix& matrix, std::span<const double> costs) {
  if (knows_sizes(matrix)) {
    table.columns.push_back({"parameters", true});
    table.columns.push_back({"used by a token", true});
    for (std::size_t r = 0; r < matrix.rows.size(); ++r)
      for (const std::int64_t count : {matrix.rows[r].parameters, matrix.rows[r].active})
        table.rows[r].push_back(count > 0 ? short_number(static_cast<double>(count)) : "–");
  }
  if (costs.empty()) return;
  table.columns.push_back({"training cost", true});
  for (std::size_t r = 0; r < matrix.rows.size(); ++r)
    table.rows[r].push_back(fixed(drawn(costs[r] / costs[matrix.baseline]), 3));
}

std::vector<std::string> with_mean(std::vector<std::string> domains) {
  domains.emplace_back("mean");
  return domains;
}

void add_perplexities(HtmlPage& page, const EvalMatrix& matrix) {
  HeatMap map{"model", with_mean(matrix.domains), {}, {}, {}, 2};
  for (const MatrixRow& row : matrix.rows) {
    map.rows.push_back(row.name);
    map.values.emplace_back();
    map.details.emplace_back();
    map.notes.emplace_back();
    for (const MatrixCell* cell : cells_of(row)) {
      map.values.back().push_back(drawn(cell->perplexity));
      map.notes.back().push_back(std::isfinite(cell->perplexity_interval.low)
                                     ? interval_text(cell->perplexity_interval, 2)
                                     : "");
      map.details.back().push_back(compat::concat(
          "95% interval ", interval_text(cell->perplexity_interval, 2), ", ",
          fixed(drawn(cell->loss_base2()), 4), " bits per token, ", cell->tokens, " tokens"));
    }
  }
  page.add_heading("Perplexity");
  page.add_heat_map(map,
                    "Lower is better. The colour is strongest for the best of a column (bold) and "
                    "fades to the worst. Below a number stands its 95% interval.");
  if (const std::string note = interval_note(matrix); !note.empty()) page.add_paragraph(note);
  for (const std::string& name : matrix.left_out) page.add_paragraph("Left out, diverged: " + name);
}

void add_sets(HtmlPage& page, const EvalMatrix& matrix) {
  if (matrix.rows.empty()) return;
  Table table{{{"domain"}, {"tokens", true}, {"bytes", true}, {"blocks", true}}, {}};
  for (std::size_t d = 0; d < matrix.domains.size(); ++d) {
    const MatrixCell& cell = matrix.rows.front().cells[d];
    table.rows.push_back({matrix.domains[d], compat::grouped(cell.tokens),
                          cell.bytes > 0 ? compat::grouped(cell.bytes) : "–",
                          cell.blocks > 0 ? compat::grouped(cell.blocks) : "–"});
  }
  page.add_heading("What was evaluated");
  page.add_table(table,
                 (matrix.split.empty() ? "" : "Split " + matrix.split + ". ") +
                     (matrix.precision.empty() ? "" : "Computed in " + matrix.precision + ". ") +
                     "The interval draws from the blocks.");
}

void add_bars(HtmlPage& page, const EvalMatrix& matrix) {
  const std::vector<std::string>& experts = matrix.experts;
  GroupedBars bars{"perplexity", with_mean(matrix.domains), {}};
  bars.label = "Perplexity of the ensembles and the models beside them on " +
               compat::join(bars.groups, ", ");
  for (const MatrixRow& row : matrix.rows) {
    if (std::ranges::find(experts, row.name) != experts.end()) continue;
    GroupedBars::Bar bar{row.name, {}, {}, {}};
    for (const MatrixCell* cell : cells_of(row)) {
      bar.values.push_back(drawn(cell->perplexity));
      bar.low.push_back(drawn(cell->perplexity_interval.low));
      bar.high.push_back(drawn(cell->perplexity_interval.high));
    }
    bars.bars.push_back(std::move(bar));
  }
  if (bars.bars.size() < 2) return;
  page.add_heading("Ensembles beside other models");
  page.add_chart(bars, "Lower is better. Whiskers: 95% intervals from resampled blocks of text.");
}

void add_ratios(HtmlPage& page, const EvalMatrix& matrix) {
  const std::string& baseline = matrix.rows[matrix.baseline].name;
  Table table{{{"model"}}, {}};
  table.pins_last = true;
  for (const std::string& domain : with_mean(matrix.domains))
    table.columns.push_back({domain, true});
  for (const MatrixRow& row : matrix.rows) {
    if (row.name == baseline) continue;
    std::vector<std::string> line{row.name};
    for (const MatrixCell* cell : cells_of(row)) {
      line.push_back(fixed(drawn(cell->ratio), 3));
      if (std::isfinite(cell->ratio_interval.low))
        line.back() += " (" + interval_text(cell->ratio_interval, 3) + ")";
    }
    table.rows.push_back(std::move(line));
  }
  if (table.rows.empty()) return;
  page.add_heading("Ratio to " + baseline);
  page.add_table(table,
                 "Perplexity divided by that of " + baseline +
                     " on the same resampled blocks, with the 95% interval. Below 1 is better. A "
                     "difference is significant where the interval does not contain 1.");
}

void add_bits_per_byte(HtmlPage& page, const EvalMatrix& matrix) {
  Table table{{{"model"}}, {}};
  table.pins_last = true;
  bool known = false;
  for (const std::string& domain : with_mean(matrix.domains))
    table.columns.push_back({domain, true});
  for (const MatrixRow& row : matrix.rows) {
    std::vector<std::string> line{row.name};
    for (const MatrixCell* cell : cells_of(row)) {
      line.push_back(fixed(drawn(cell->bits_per_byte), 4));
      known = known || std::isfinite(cell->bits_per_byte);
    }
    table.rows.push_back(std::move(line));
  }
  if (!known) return;
  page.add_heading("Bits per byte");
  page.add_table(table, "Bits per byte can be compared between vocabularies.");
}

void add_sizes(HtmlPage& page, const EvalMatrix& matrix, std::span<const double> costs) {
  if (!knows_sizes(matrix) && costs.empty()) return;
  page.add_heading(costs.empty() ? "Size" : "Size and cost");
  page.add_table(
      size_table(matrix, costs),
      "An ensemble has the parameters of all its experts; a token of a mixture uses some "
      "of them." +
          (costs.empty() ? std::string()
                         : " Training cost is tokens times the parameters that a token "
                           "uses, those of the seed model and the experts included, "
                           "relative to " +
                               matrix.rows[matrix.baseline].name +
                               ". Training of routers alone counts two thirds of that. "
                               "What only reads text, such as the search for weights, "
                               "is not counted."));
}

void add_posteriors(HtmlPage& page, const EvalMatrix& matrix) {
  const std::vector<std::string>& experts = matrix.experts;
  if (experts.empty()) return;
  page.add_heading("Posterior over the batches");
  page.add_paragraph(
      "The weight of each expert in the ensemble while it reads a domain (updating prior).");
  std::vector<std::pair<std::string, StackedAreas>> charts;
  for (std::size_t d = 0; d < matrix.posteriors.size(); ++d) {
    StackedAreas chart{"batch", "posterior", {}, {}};
    for (const std::string& expert : experts) chart.layers.push_back({expert, {}});
    for (const std::vector<double>& batch : matrix.posteriors[d].batches) {
      chart.x.push_back(static_cast<double>(chart.x.size() + 1));
      for (std::size_t e = 0; e < experts.size(); ++e) chart.layers[e].y.push_back(batch[e]);
    }
    chart.label = "Posterior of each expert over the batches of " + matrix.domains[d];
    charts.emplace_back(matrix.domains[d], std::move(chart));
  }
  page.add_charts(charts);
}

}  // namespace

std::string matrix_verdict(const EvalMatrix& matrix) {
  const MatrixRow* best = nullptr;
  for (const MatrixRow& row : matrix.rows)
    if (std::isfinite(row.mean.perplexity) &&
        (best == nullptr || row.mean.perplexity < best->mean.perplexity))
      best = &row;
  if (best == nullptr) return {};
  const MatrixRow& base = matrix.rows[matrix.baseline];
  const std::string mean = best->name + " has the lowest mean perplexity over the domains, " +
                           fixed(best->mean.perplexity, 2);
  if (best == &base || !std::isfinite(best->mean.ratio)) return mean + ".";
  return mean + ": " + fixed(best->mean.ratio, 3) + " of that of " + base.name +
         (std::isfinite(best->mean.ratio_interval.low)
              ? " (95% interval " + interval_text(best->mean.ratio_interval, 3) + ")."
              : ".");
}

void add_explanations(HtmlPage& page, const EvalMatrix& matrix) {
  std::vector<std::string> lines{
      "Perplexity: e to the mean loss of a token; a model of perplexity 100 is as unsure as one "
      "that draws from 100 tokens."};
  if (!matrix.experts.empty()) {
    lines.emplace_back(
        "Posterior: the weight of each expert after the text so far, by Bayes' rule; the weights "
        "sum to 1.");
    lines.emplace_back(
        "Cached prior: the mean posterior on held-out text of the domain, with which each text "
        "begins; the updating prior is the mean over the text so far.");
  }
  lines.emplace_back(
      "Interval: 95% of the values that come out when blocks of the test text are drawn anew, with "
      "replacement.");
  page.add_list(lines);
}

void add_matrix(HtmlPage& page, const EvalMatrix& matrix, std::span<const double> costs) {
  add_explanations(page, matrix);
  add_perplexities(page, matrix);
  add_sets(page, matrix);
  add_bars(page, matrix);
  add_ratios(page, matrix);
  add_bits_per_byte(page, matrix);
  add_sizes(page, matrix, costs);
  add_posteriors(page, matrix);
}

std::string missing_text(const EvalMatrix& matrix) {
  if (matrix.rows.empty()) return {};
  std::string missing;
  for (std::size_t d = 0; d < matrix.domains.size(); ++d) {
    const MatrixCell& cell = matrix.rows.front().cells[d];
    if (cell.blocks >= matrix.fewest_blocks) continue;
    const auto blocks = static_cast<double>(matrix.fewest_blocks - cell.blocks);
    const double block = cell.blocks > 0 && cell.tokens > cell.blocks * matrix.block_tokens
                             ? static_cast<double>(cell.tokens) / static_cast<double>(cell.blocks)
                             : static_cast<double>(matrix.block_tokens);
    compat::append(missing, missing.empty() ? "" : ", ",
                   compat::without_controls(matrix.domains[d]), " needs about ",
                   compat::grouped(std::llround(blocks * block)), " more tokens");
    if (cell.bytes > 0 && cell.tokens > 0)
      compat::append(
          missing, " (",
          compat::grouped(std::llround(std::ceil(blocks * block * static_cast<double>(cell.bytes) /
                                                 static_cast<double>(cell.tokens) / 1000))),
          " kB of text)");
  }
  return missing;
}

std::string interval_note(const EvalMatrix& matrix) {
  const std::string missing = missing_text(matrix);
  if (missing.empty()) return {};
  return compat::concat("An interval needs ", matrix.fewest_blocks, " blocks of ",
                        matrix.block_tokens,
                        " or more tokens to draw from. There is none where a "
                        "domain has fewer: ",
                        missing, ". ");
}

Table size_table(const EvalMatrix& matrix, std::span<const double> costs) {
  Table table{{{"model"}, {"perplexity", true}, {"to " + matrix.rows[matrix.baseline].name, true}},
              {}};
  for (const MatrixRow& row : matrix.rows)
    table.rows.push_back(
        {row.name, fixed(drawn(row.mean.perplexity), 2), fixed(drawn(row.mean.ratio), 3)});
  add_size_columns(table, matrix, costs);
  return table;
}

Table perplexity_table(const EvalMatrix& matrix, std::span<const double> costs) {
  Table table{{{"model"}}, {}};
  for (const std::string& domain : matrix.domains) table.columns.push_back({domain, true});
  for (const char* name : {"mean", "95% interval", "bits/byte"})
    table.columns.push_back({name, true});
  table.columns.push_back({"to " + matrix.rows[matrix.baseline].name, true});
  std::vector<double> best(matrix.domains.size() + 1, std::numeric_limits<double>::infinity());
  for (const MatrixRow& row : matrix.rows) {
    const auto cells = cells_of(row);
    for (std::size_t c = 0; c < cells.size(); ++c)
      best[c] = std::min(best[c], drawn(cells[c]->perplexity));
  }
  for (const MatrixRow& row : matrix.rows) {
    std::vector<std::string> line{row.name};
    const auto cells = cells_of(row);
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const double ppl = cells[c]->perplexity;
      line.push_back((std::isinf(ppl) ? "inf" : fixed(ppl, 2)) +
                     (ppl == best[c] && std::isfinite(ppl) ? "*" : " "));
    }
    line.push_back(interval_text(row.mean.perplexity_interval, 2));
    line.push_back(fixed(drawn(row.mean.bits_per_byte), 4));
    line.push_back(fixed(drawn(row.mean.ratio), 3));
    table.rows.push_back(std::move(line));
  }
  add_size_columns(table, matrix, costs);
  return table;
}

}  // namespace btm
