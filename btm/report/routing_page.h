// Which experts each domain's tokens go to, as a table, JSON and a page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "btm/report/html_page.h"
#include "btm/report/table.h"

namespace btm {

struct RoutingPicture {
  std::string model, routing;
  std::vector<std::string> domains, experts;
  std::vector<std::size_t> layers;   ///< The numbers of those with a router.
  std::vector<std::int64_t> tokens;  ///< By domain.
  /// [domain][layer][expert], each layer's sum is 1.
  std::vector<std::vector<std::vector<double>>> shares;
};

/// FormatError for a file that is no routing.json.
RoutingPicture read_routing(const std::filesystem::path& file);
/// The same of text; `file` is for messages.
RoutingPicture routing_of_text(std::string_view text, const std::string& file);

/// The table, and a chart for each layer.
void add_routing(HtmlPage& page, const RoutingPicture& picture);

/// A row for each domain: percent of its tokens by expert, the mean over the layers.
Table routing_table(const RoutingPicture& picture);

/// FOLDER/routing.json and FOLDER/report.html. The folder is created.
void write_routing(const std::filesystem::path& folder, const RoutingPicture& picture);

}  // namespace btm
