#include "btm/report/matrix_page.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "compat/base/concat.h"
#include "compat/base/error.h"

namespace btm {
namespace {

using nlohmann::json;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// null where JSON has no number for it.
double number(const json& cell, const char* key) {
  const json& value = cell.at(key);
  return value.is_null() ? kNan : value.get<double>();
}

std::vector<std::string> names(const json& list) { return list.get<std::vector<std::string>>(); }

/// A row's cells and its mean.
std::vector<const json*> cells_of(const json& row, const std::vector<std::string>& domains) {
  std::vector<const json*> cells;
  for (const std::string& domain : domains) cells.push_back(&row.at("cells").at(domain));
  cells.push_back(&row.at("mean"));
  return cells;
}

std::string interval_text(const json& cell, const char* low, const char* high, int digits) {
  if (cell.at(low).is_null()) return "–";
  return fixed(number(cell, low), digits) + "–" + fixed(number(cell, high), digits);
}

/// A perplexity. JSON has no infinity, so a flag beside the number marks it.
double perplexity(const json& cell) {
  return cell.value("infinite", false) ? std::numeric_limits<double>::infinity()
                                       : number(cell, "ppl");
}

std::vector<std::string> with_mean(std::vector<std::string> domains) {
  domains.emplace_back("mean");
  return domains;
}

void add_perplexities(HtmlPage& page, const json& matrix, const std::vector<std::string>& domains) {
  HeatMap map{"model", with_mean(domains), {}, {}, {}, 2};
  for (const json& row : matrix.at("rows")) {
    map.rows.push_back(row.at("name"));
    map.values.emplace_back();
    map.details.emplace_back();
    for (const json* cell : cells_of(row, domains)) {
      map.values.back().push_back(number(*cell, "ppl"));
      map.details.back().push_back(
          compat::concat("95% interval ", interval_text(*cell, "ppl_low", "ppl_high", 2), ", ",
                         fixed(number(*cell, "loss_base2"), 4), " bits per token, ",
                         cell->at("tokens").get<std::int64_t>(), " tokens"));
    }
  }
  page.add_heading("Perplexity");
  page.add_heat_map(map,
                    "Lower is better. The colour is strongest for the best of a column (bold) and "
                    "fades to the worst. Point at a cell for its interval.");
  if (const std::string note = interval_note(matrix); !note.empty()) page.add_paragraph(note);
  for (const json& name : matrix.value("left_out", json::array()))
    page.add_paragraph("Left out, diverged: " + name.get<std::string>());
}

void add_bars(HtmlPage& page, const json& matrix, const std::vector<std::string>& domains) {
  const std::vector<std::string> experts = names(matrix.at("experts"));
  GroupedBars bars{"perplexity", with_mean(domains), {}};
  for (const json& row : matrix.at("rows")) {
    if (std::ranges::find(experts, row.at("name").get<std::string>()) != experts.end()) continue;
    GroupedBars::Bar bar{row.at("name"), {}, {}, {}};
    for (const json* cell : cells_of(row, domains)) {
      bar.values.push_back(number(*cell, "ppl"));
      bar.low.push_back(number(*cell, "ppl_low"));
      bar.high.push_back(number(*cell, "ppl_high"));
    }
    bars.bars.push_back(std::move(bar));
  }
  if (bars.bars.size() < 2) return;
  page.add_heading("Ensembles beside other models");
  page.add_chart(bars, "Lower is better. Whiskers: 95% intervals from resampled blocks of text.");
}

void add_ratios(HtmlPage& page, const json& matrix, const std::vector<std::string>& domains) {
  const std::string baseline = matrix.at("baseline");
  Table table{{{"model"}}, {}};
  for (const std::string& domain : with_mean(domains)) table.columns.push_back({domain, true});
  for (const json& row : matrix.at("rows")) {
    if (row.at("name") == baseline) continue;
    std::vector<std::string> line{row.at("name")};
    for (const json* cell : cells_of(row, domains))
      line.push_back(fixed(number(*cell, "ratio"), 3) + " (" +
                     interval_text(*cell, "ratio_low", "ratio_high", 3) + ")");
    table.rows.push_back(std::move(line));
  }
  if (table.rows.empty()) return;
  page.add_heading("Ratio to " + baseline);
  page.add_table(table,
                 "Perplexity divided by that of " + baseline +
                     " on the same resampled blocks, with the 95% interval. Below 1 is better. A "
                     "difference is significant where the interval does not contain 1.");
}

void add_bits_per_byte(HtmlPage& page, const json& matrix,
                       const std::vector<std::string>& domains) {
  Table table{{{"model"}}, {}};
  bool known = false;
  for (const std::string& domain : with_mean(domains)) table.columns.push_back({domain, true});
  for (const json& row : matrix.at("rows")) {
    std::vector<std::string> line{row.at("name")};
    for (const json* cell : cells_of(row, domains)) {
      line.push_back(fixed(number(*cell, "bits_per_byte"), 4));
      known = known || !cell->at("bits_per_byte").is_null();
    }
    table.rows.push_back(std::move(line));
  }
  if (!known) return;
  page.add_heading("Bits per byte");
  page.add_table(table, "Bits per byte can be compared between vocabularies.");
}

void add_posteriors(HtmlPage& page, const json& matrix, const std::vector<std::string>& domains) {
  const std::vector<std::string> experts = names(matrix.at("experts"));
  if (experts.empty()) return;
  page.add_heading("Posterior over the batches");
  page.add_paragraph(
      "The weight of each expert in the ensemble while it reads a domain (updating prior).");
  for (const std::string& domain : domains) {
    StackedAreas chart{"batch", "posterior", {}, {}};
    for (const std::string& expert : experts) chart.layers.push_back({expert, {}});
    for (const json& batch : matrix.at("posteriors").at(domain).at("batches")) {
      chart.x.push_back(static_cast<double>(chart.x.size() + 1));
      for (std::size_t e = 0; e < experts.size(); ++e)
        chart.layers[e].y.push_back(batch.at(e).get<double>());
    }
    page.add_subheading(domain);
    page.add_chart(chart);
  }
}

}  // namespace

void add_matrix(HtmlPage& page, const json& matrix) {
  const std::vector<std::string> domains = names(matrix.at("domains"));
  add_perplexities(page, matrix, domains);
  add_bars(page, matrix, domains);
  add_ratios(page, matrix, domains);
  add_bits_per_byte(page, matrix, domains);
  add_posteriors(page, matrix, domains);
}

std::string interval_note(const json& matrix) {
  std::string domains;
  const json& rows = matrix.at("rows");
  if (rows.empty() || !matrix.contains("fewest_blocks")) return {};
  for (const auto& [domain, cell] : rows.front().at("cells").items())
    if (cell.at("blocks") < matrix.at("fewest_blocks"))
      compat::append(domains, domains.empty() ? "" : ", ", compat::without_controls(domain), " (",
                     cell.at("blocks").get<std::int64_t>(), ')');
  if (domains.empty()) return {};
  return compat::concat("No interval where a domain has fewer than ",
                        matrix.at("fewest_blocks").get<std::int64_t>(), " blocks of ",
                        matrix.at("block_tokens").get<std::int64_t>(),
                        " or more tokens to draw from: ", domains, ". ");
}

Table perplexity_table(const json& matrix) {
  const std::vector<std::string> domains = names(matrix.at("domains"));
  Table table{{{"model"}}, {}};
  for (const std::string& domain : domains) table.columns.push_back({domain, true});
  for (const char* name : {"mean", "95% interval", "bits/byte"})
    table.columns.push_back({name, true});
  table.columns.push_back({"to " + matrix.at("baseline").get<std::string>(), true});
  std::vector<double> best(domains.size() + 1, std::numeric_limits<double>::infinity());
  for (const json& row : matrix.at("rows")) {
    const auto cells = cells_of(row, domains);
    for (std::size_t c = 0; c < cells.size(); ++c)
      best[c] = std::min(best[c], number(*cells[c], "ppl"));
  }
  for (const json& row : matrix.at("rows")) {
    std::vector<std::string> line{row.at("name")};
    const auto cells = cells_of(row, domains);
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const double ppl = perplexity(*cells[c]);
      line.push_back((std::isinf(ppl) ? "inf" : fixed(ppl, 2)) +
                     (ppl == best[c] && std::isfinite(ppl) ? "*" : " "));
    }
    const json& mean = row.at("mean");
    line.push_back(interval_text(mean, "ppl_low", "ppl_high", 2));
    line.push_back(fixed(number(mean, "bits_per_byte"), 4));
    line.push_back(fixed(number(mean, "ratio"), 3));
    table.rows.push_back(std::move(line));
  }
  return table;
}

}  // namespace btm
