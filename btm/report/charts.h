// Charts as inline SVG, without scripts. Colours come from the style sheet of HtmlPage, so that
// they follow the reader's light or dark setting. Every chart is drawn for a width in CSS pixels:
// HtmlPage draws it for a wide and for a narrow window.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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
  std::string label = {};             ///< What a reader who does not see it is told; "": the axes.
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
  std::string label = {};  ///< As LineChart's.
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
  std::string label = {};  ///< As LineChart's.
};

/// Dots of groups in a plane without scales, and a ring for the centre of each group.
struct ScatterPlot {
  std::string label;
  struct Group {
    std::string name;
    std::vector<double> x, y;  ///< Equal lengths; points that are not finite are left out.
    std::optional<double> center_x, center_y;
  };
  std::vector<Group> groups;
};

/// The number of the colour and dash of each series, layer, bar or group; empty: 0, 1, 2, ...
using ChartColours = std::vector<std::size_t>;

/// The class of a number's colour: ten colours, then the same with the class `again`; and four
/// dashes, so that no two of the first 32 have both in common.
std::string colour_class(std::size_t number);

/// An <svg> of `width` pixels. Bars lie on their side where they would be too thin to stand.
std::string draw(const LineChart& chart, int width, const ChartColours& colours = {});
std::string draw(const StackedAreas& chart, int width, const ChartColours& colours = {});
std::string draw(const GroupedBars& chart, int width, const ChartColours& colours = {});
std::string draw(const ScatterPlot& chart, int width, const ChartColours& colours = {});

/// How a legend shows what belongs to a name: a line's pattern, a colour, or a bar's number too.
enum class LegendKey : std::uint8_t { kLine, kLayer, kNumberedBlock, kDot };
inline LegendKey key_of(const LineChart& /*chart*/) { return LegendKey::kLine; }
inline LegendKey key_of(const StackedAreas& /*chart*/) { return LegendKey::kLayer; }
inline LegendKey key_of(const GroupedBars& /*chart*/) { return LegendKey::kNumberedBlock; }
inline LegendKey key_of(const ScatterPlot& /*chart*/) { return LegendKey::kDot; }

/// The names of the colours, in the order drawn.
std::vector<std::string> legend_of(const LineChart& chart);
std::vector<std::string> legend_of(const StackedAreas& chart);
std::vector<std::string> legend_of(const GroupedBars& chart);
std::vector<std::string> legend_of(const ScatterPlot& chart);

}  // namespace btm
