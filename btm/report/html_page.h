// A report as one HTML file. It fetches nothing, has no scripts, fits a narrow window, and is light
// or dark as the reader's system is.
#pragma once

#include <filesystem>
#include <string>
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
};

/// A part of a text, underlined in the colour of a chart's series or layer.
struct TextPart {
  std::string text;
  std::size_t colour = 0;  ///< Its number among the series.
  std::string detail;      ///< Shown when pointed at.
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
  template <class Chart>
  void add_chart(const Chart& chart, const std::string& caption = {}) {
    add_figure(draw(chart, kWide), draw(chart, kNarrow), legend_of(chart), caption);
  }

  std::string html() const;
  /// Atomic.
  void write(const std::filesystem::path& path) const;

 private:
  static constexpr int kWide = 760, kNarrow = 350;
  void add_figure(const std::string& wide, const std::string& narrow,
                  const std::vector<std::string>& legend, const std::string& caption);
  std::string title_, body_;
};

}  // namespace btm
