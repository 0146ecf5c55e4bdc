// Charts as inline SVG, without scripts. Colours come from the style sheet of HtmlPage, so that
// they follow the reader's light or dark setting. Every chart is drawn for a width in CSS pixels:
// HtmlPage draws it for a wide and for a narrow window.
#pragma once

#include <string>
#include <vector>

namespace btm {

struct Series {
  std::string name;
  std::vector<double> x,
      y;  ///< Equal lengths, x ascending. A y that is not finite interrupts the line.
};

struct LineChart {
  std::string x_label, y_label;
  std::vector<Series> series;
  bool log_x = false, log_y = false;  ///< Points at or below 0 are left out on a log axis.
};

/// Shares of a whole along x; each layer lies on the previous one.
struct StackedAreas {
  std::string x_label, y_label;
  std::vector<double> x;
  struct Layer {
    std::string name;
    std::vector<double> y;  ///< As many as `x`, 0 or more.
  };
  std::vector<Layer> layers;
};

/// Bars from 0, side by side in each group, with an interval where `low` and `high` are given.
struct GroupedBars {
  std::string y_label;
  std::vector<std::string> groups;
  struct Bar {
    std::string name;
    std::vector<double> values;     ///< One per group; not finite: no bar.
    std::vector<double> low, high;  ///< One per group, or empty: no interval.
  };
  std::vector<Bar> bars;
};

/// An <svg> of `width` pixels.
std::string draw(const LineChart& chart, int width);
std::string draw(const StackedAreas& chart, int width);
std::string draw(const GroupedBars& chart, int width);

/// The names of the colours, in the order drawn.
std::vector<std::string> legend_of(const LineChart& chart);
std::vector<std::string> legend_of(const StackedAreas& chart);
std::vector<std::string> legend_of(const GroupedBars& chart);

}  // namespace btm
