#include "btm/report/routing_page.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "btm/report/html_page.h"
#include "compat/base/concat.h"
#include "compat/io/atomic_file.h"

namespace btm {
namespace {

constexpr double kPercent = 100;

/// [expert] of a domain, the mean over the layers.
std::vector<double> mean_shares(const RoutingPicture& picture, std::size_t domain) {
  std::vector<double> mean(picture.experts.size());
  for (const std::vector<double>& layer : picture.shares[domain])
    for (std::size_t e = 0; e < mean.size(); ++e)
      mean[e] += layer[e] / static_cast<double>(picture.layers.size());
  return mean;
}

nlohmann::ordered_json as_json(const RoutingPicture& picture) {
  nlohmann::ordered_json json{{"model", picture.model},
                              {"router", picture.routing},
                              {"experts", picture.experts},
                              {"layers", picture.layers},
                              {"domains", nlohmann::ordered_json::array()}};
  for (std::size_t d = 0; d < picture.domains.size(); ++d)
    json["domains"].push_back({{"domain", picture.domains[d]},
                               {"tokens", picture.tokens[d]},
                               {"mean", mean_shares(picture, d)},
                               {"shares", picture.shares[d]}});
  return json;
}

GroupedBars bars_of(const RoutingPicture& picture, std::size_t layer) {
  GroupedBars chart{"% of tokens", picture.domains, {}};
  for (std::size_t e = 0; e < picture.experts.size(); ++e) {
    chart.bars.push_back({picture.experts[e], {}, {}, {}});
    for (std::size_t d = 0; d < picture.domains.size(); ++d)
      chart.bars.back().values.push_back(kPercent * picture.shares[d][layer][e]);
  }
  chart.label = compat::concat("Layer ", picture.layers[layer],
                               ": the share of each domain's tokens that each expert gets");
  return chart;
}

}  // namespace

Table routing_table(const RoutingPicture& picture) {
  Table table{{{"domain"}}, {}};
  for (const std::string& expert : picture.experts) table.columns.push_back({expert, true});
  table.columns.push_back({"tokens", true});
  for (std::size_t d = 0; d < picture.domains.size(); ++d) {
    table.rows.push_back({picture.domains[d]});
    for (const double share : mean_shares(picture, d))
      table.rows.back().push_back(fixed(kPercent * share, 1));
    table.rows.back().push_back(std::to_string(picture.tokens[d]));
  }
  return table;
}

void write_routing(const std::filesystem::path& folder, const RoutingPicture& picture) {
  std::filesystem::create_directories(folder);
  compat::write_file_atomically(
      folder / "routing.json",
      as_json(picture).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  HtmlPage page("Which domain goes to which expert");
  page.add_paragraph(compat::concat("Model ", picture.model, ", router ", picture.routing, ", ",
                                    picture.experts.size(), " experts. A share counts ",
                                    picture.routing == "top2"   ? "both experts of a token"
                                    : picture.routing == "top1" ? "the one expert of a token"
                                                                : "every expert with its weight",
                                    "."));
  page.add_heading("Mean over the layers");
  page.add_table(routing_table(picture), "Percent of a domain's tokens by expert");
  page.add_heading("Layer by layer");
  std::vector<std::pair<std::string, GroupedBars>> charts;
  for (std::size_t layer = 0; layer < picture.layers.size(); ++layer)
    charts.emplace_back(compat::concat("Layer ", picture.layers[layer]), bars_of(picture, layer));
  page.add_charts(charts);
  page.write(folder / "report.html");
}

}  // namespace btm
