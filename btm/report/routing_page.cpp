#include "btm/report/routing_page.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/io/atomic_file.h"
#include "compat/io/json_text.h"
#include "compat/io/mapped_file.h"

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

/// The shares of a domain in JSON. What the keys and types do not tell is a std::string.
std::vector<std::vector<double>> shares_of_json(const nlohmann::json& object,
                                                const RoutingPicture& picture) {
  auto shares = object.at("shares").get<std::vector<std::vector<double>>>();
  if (shares.size() != picture.layers.size())
    throw compat::concat("has shares of ", shares.size(), " layers, expected ",
                         picture.layers.size());
  for (const std::vector<double>& layer : shares)
    if (layer.size() != picture.experts.size())
      throw compat::concat("has shares of ", layer.size(), " experts, expected ",
                           picture.experts.size());
  return shares;
}

RoutingPicture picture_of_json(const nlohmann::json& object) {
  RoutingPicture picture;
  picture.model = object.at("model").get<std::string>();
  picture.routing = object.at("router").get<std::string>();
  picture.experts = object.at("experts").get<std::vector<std::string>>();
  picture.layers = object.at("layers").get<std::vector<std::size_t>>();
  for (const nlohmann::json& domain : object.at("domains")) {
    picture.domains.push_back(domain.at("domain").get<std::string>());
    picture.tokens.push_back(domain.at("tokens").get<std::int64_t>());
    picture.shares.push_back(shares_of_json(domain, picture));
  }
  return picture;
}

}  // namespace

RoutingPicture routing_of_text(std::string_view text, const std::string& file) {
  const compat::Location where{file, {}, {}};
  const std::string what = "the result of btm routing";
  const nlohmann::json object = compat::parse_json_object(text, where, what);
  try {
    return picture_of_json(object);
  } catch (const nlohmann::json::exception& error) {
    throw compat::FormatError(where, "is not " + what + ": it " + compat::json_problem(error));
  } catch (const std::string& problem) {
    throw compat::FormatError(where, "is not " + what + ": it " + problem);
  }
}

RoutingPicture read_routing(const std::filesystem::path& file) {
  const auto mapped = compat::MappedFile::open(file);
  return routing_of_text(compat::as_chars(mapped->bytes()), mapped->path());
}

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
  page.add_heading("Shares of the tokens");
  add_routing(page, picture);
  page.write(folder / "report.html");
}

void add_routing(HtmlPage& page, const RoutingPicture& picture) {
  page.add_paragraph(compat::concat("Model ", picture.model, ", router ", picture.routing, ", ",
                                    picture.experts.size(), " experts. A share counts ",
                                    picture.routing == "top2"   ? "both experts of a token"
                                    : picture.routing == "top1" ? "the one expert of a token"
                                                                : "every expert with its weight",
                                    "."));
  page.add_subheading("Mean over the layers");
  page.add_table(routing_table(picture), "Percent of a domain's tokens by expert");
  page.add_subheading("Layer by layer");
  std::vector<std::pair<std::string, GroupedBars>> charts;
  for (std::size_t layer = 0; layer < picture.layers.size(); ++layer)
    charts.emplace_back(compat::concat("Layer ", picture.layers[layer]), bars_of(picture, layer));
  page.add_charts(charts);
}

}  // namespace btm
