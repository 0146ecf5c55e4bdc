#include "btm/cli/cluster_listing.h"

#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

std::vector<std::string> samples_of(const ClusterModel& model, std::size_t cluster,
                                    std::size_t most) {
  if (model.notes().samples.empty()) return {};
  std::vector<std::string> samples = model.notes().samples[cluster];
  if (samples.size() > most) samples.resize(most);
  return samples;
}

/// "120,000 tokens"; "" in a model that does not know.
std::string weight_text(const ClusterModel& model, std::size_t cluster) {
  const ClusterNotes& notes = model.notes();
  if (notes.weights.empty() || !std::isfinite(notes.weights[cluster])) return {};
  return compat::grouped(std::llround(notes.weights[cluster])) + " " + notes.unit;
}

std::string terms_text(const ClusterModel& model, std::size_t cluster, std::size_t count) {
  return compat::join(model.top_terms(cluster, count), " ",
                      [](const std::string& term) { return compat::printable(term); });
}

}  // namespace

void print_clusters(const ClusterModel& model, const std::vector<std::string>& names,
                    const ClusterListing& listing) {
  for (std::size_t j = 0; j < model.clusters(); ++j) {
    const std::string weight = weight_text(model, j), usual = "c" + std::to_string(j);
    std::cout << "cluster " << j << (names[j] == usual ? "" : " " + compat::printable(names[j]))
              << ": " << model.sizes()[j] << " documents" << (weight.empty() ? "" : ", " + weight)
              << ": " << terms_text(model, j, listing.terms) << "\n";
    for (const std::string& sample : samples_of(model, j, listing.samples))
      std::cout << "  - " << compat::printable(sample, 300) << "\n";
  }
}

void print_clusters_json(const ClusterModel& model, const std::vector<std::string>& names,
                         const ClusterListing& listing) {
  using Json = nlohmann::ordered_json;
  Json clusters = Json::array();
  for (std::size_t j = 0; j < model.clusters(); ++j) {
    Json cluster{{"cluster", j}, {"name", names[j]}, {"documents", model.sizes()[j]}};
    if (!model.notes().weights.empty()) cluster[model.notes().unit] = model.notes().weights[j];
    cluster["terms"] = model.top_terms(j, listing.terms);
    cluster["samples"] = samples_of(model, j, listing.samples);
    clusters.push_back(std::move(cluster));
  }
  std::cout << Json{{"model_sha256", model.sha256()}, {"clusters", clusters}}.dump(
                   1, ' ', false, Json::error_handler_t::replace)
            << "\n";
}

HtmlPage cluster_page(const ClusterModel& model, const std::vector<std::string>& names,
                      const ClusterListing& listing) {
  HtmlPage page(compat::concat(model.clusters(), " clusters"));
  const ClusterNotes& notes = model.notes();
  if (!notes.documents.empty()) {
    ScatterPlot plot{"The training documents by cluster, and the centres of the clusters", {}};
    for (std::size_t j = 0; j < model.clusters(); ++j) {
      plot.groups.push_back({names[j], {}, {}, {}, {}});
      for (const ClusterNotes::Point& at : notes.documents)
        if (at.cluster == j) {
          plot.groups.back().x.push_back(at.x);
          plot.groups.back().y.push_back(at.y);
        }
      if (j < notes.centers.size()) {
        plot.groups.back().center_x = notes.centers[j].x;
        plot.groups.back().center_y = notes.centers[j].y;
      }
    }
    page.add_heading("The clusters in the plane");
    page.add_chart(plot,
                   "A dot is a training document, a ring is a cluster's centre. The plane is the "
                   "one in which the centres lie widest apart; documents that look close in it may "
                   "be far apart in the other dimensions.");
  }
  Table table{{{"cluster"}, {"documents", true}, {notes.unit, true}, {"terms"}}, {}};
  for (std::size_t j = 0; j < model.clusters(); ++j)
    table.rows.push_back(
        {names[j], std::to_string(model.sizes()[j]),
         notes.weights.empty() ? "–" : compat::grouped(std::llround(notes.weights[j])),
         compat::join(model.top_terms(j, listing.terms), " ")});
  page.add_heading("Sizes and terms");
  page.add_table(table);
  page.add_heading("Documents nearest to the centres");
  for (std::size_t j = 0; j < model.clusters(); ++j) {
    page.add_subheading(names[j]);
    for (const std::string& sample : samples_of(model, j, listing.samples))
      page.add_paragraph(compat::printable(sample, 300));
  }
  return page;
}

}  // namespace btm
