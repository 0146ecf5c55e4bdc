// A report as one HTML file. It fetches nothing, has no scripts, fits a narrow window, and is light
// or dark as the reader's system is.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "btm/report/charts.h"
#include "btm/report/table.h"

namespace btm {

/// Numbers in a grid, coloured from best (strong) to worst (pale) within each column, on a log
/// scale: for perplexities.
struct HeatMap {
  std::string corner;  ///< What the rows are.
  std::vector<std::string> columns, rows;
  std::vector<std::vector<double>> values;  ///< [row][column]; not finite: shown as a dash.
  std::vector<std::vector<std::string>>
      details;  ///< [row][column] shown when pointed at; may be empty.
  int digits = 2;
  std::vector<std::vector<std::string>> notes = {};  ///< [row][column] below the number, small.
};

/// A part of a text, underlined in the colour that a model has on the page.
struct TextPart {
  std::string text, model;
  std::string detail;  ///< Shown when pointed at.
};

class HtmlPage {
 public:
  explicit HtmlPage(std::string title) : title_(std::move(title)) {}

  // Text is escaped. Captions may be empty.
  void add_heading(const std::string& text);
  void add_subheading(const std::string& text);
  void add_paragraph(const std::string& text);
  /// A text in parts; line ends and spaces stay.
  void add_text(const std::vector<TextPart>& parts);
  void add_table(const Table& table, const std::string& caption = {});
  void add_heat_map(const HeatMap& map, const std::string& caption = {});
  void add_list(const std::vector<std::string>& items);
  /// Lines in a typewriter's letters, in a box that scrolls by itself.
  void add_lines(const std::string& text);
  /// Models have one colour on the whole page: that of their name's first chart.
  template <class Chart>
  void add_chart(const Chart& chart, const std::string& caption = {}) {
    const ChartColours colours = colours_of(legend_of(chart));
    add_figure(draw(chart, kBroad, colours), draw(chart, kWide, colours),
               draw(chart, kNarrow, colours), legend_text(legend_of(chart), colours, key_of(chart)),
               caption);
  }
  /// Small charts side by side, as many as the window has room for, under one legend.
  template <class Chart>
  void add_charts(const std::vector<std::pair<std::string, Chart>>& charts) {
    if (charts.empty()) return;
    const std::vector<std::string> names = legend_of(charts.front().second);
    const ChartColours colours = colours_of(names);
    std::vector<std::pair<std::string, std::string>> drawn;
    for (const auto& [title, chart] : charts)
      drawn.emplace_back(title, draw(chart, kSmall, colours));
    add_grid(drawn, legend_text(names, colours, key_of(charts.front().second)));
  }

  std::string html() const;
  /// Atomic.
  void write(const std::filesystem::path& path) const;

 private:
  static constexpr int kBroad = 1120, kWide = 760, kNarrow = 350, kSmall = 400;
  ChartColours colours_of(const std::vector<std::string>& names);
  static std::string legend_text(const std::vector<std::string>& names, const ChartColours& colours,
                                 LegendKey key);
  void add_figure(const std::string& broad, const std::string& wide, const std::string& narrow,
                  const std::string& legend, const std::string& caption);
  void add_grid(const std::vector<std::pair<std::string, std::string>>& charts,
                const std::string& legend);
  std::string title_, body_;
  std::vector<std::string> coloured_;  ///< Names in the order of their colours.
};

}  // namespace btm
