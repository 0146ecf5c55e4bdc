#include "btm/report/charts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "btm/report/axis.h"
#include "btm/report/table.h"
#include "compat/base/concat.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

constexpr int kTop = 30, kBottom = 46, kRight = 16, kDigit = 8;
constexpr int kBarMarks = 6;

std::string pixels(double value) { return compat::decimal(value, 1); }

/// Colours repeat after eight; the class `again` marks the second round (dashes).
std::string series_class(std::size_t i) {
  return compat::concat('s', i % 8, i >= 8 ? " again" : "");
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

/// The plot's place in the drawing, and its axes.
class Frame {
 public:
  /// `labels_width` pixels are kept free at the left for the marks of y.
  Frame(int width, double labels_width)
      : width_(width), height_(std::clamp(width / 2, 230, 340)), left_(labels_width + 12) {}

  double left() const { return left_; }
  double right() const { return width_ - kRight; }
  double top() const { return kTop; }
  double bottom() const { return height_ - kBottom; }

  std::string open(const std::string& label) const {
    return compat::concat("<svg viewBox=\"0 0 ", width_, ' ', height_, "\" width=\"", width_,
                          "\" height=\"", height_, "\" role=\"img\" aria-label=\"",
                          html_escaped(label), "\">\n");
  }

  std::string text(double x, double y, const char* anchor, const std::string& content,
                   const char* style = "label") const {
    return "<text class=\"" + std::string(style) + "\" x=\"" + pixels(x) + "\" y=\"" + pixels(y) +
           "\" text-anchor=\"" + anchor + "\">" + html_escaped(content) + "</text>\n";
  }

  std::string y_marks(const Axis& axis, int count, const std::string& label) const {
    std::string svg = text(2, 16, "start", label, "axis");
    for (const double value : axis.ticks(count)) {
      const double y = axis.pixel(value);
      svg += "<path class=\"grid\" d=\"M" + pixels(left()) + " " + pixels(y) + "H" +
             pixels(right()) + "\"/>" + text(left() - 6, y + 4, "end", short_number(value));
    }
    return svg;
  }

  std::string x_marks(const Axis& axis, int count, const std::string& label) const {
    std::string svg;
    for (const double value : axis.ticks(count)) {
      const double x = axis.pixel(value);
      svg += "<path class=\"tick\" d=\"M" + pixels(x) + " " + pixels(bottom()) + "v5\"/>" +
             text(x, bottom() + 18, "middle", short_number(value));
    }
    return svg + base_line() + text((left() + right()) / 2, height_ - 6, "middle", label, "axis");
  }

  std::string base_line() const {
    return "<path class=\"tick\" d=\"M" + pixels(left()) + " " + pixels(bottom()) + "H" +
           pixels(right()) + "\"/>\n";
  }

 private:
  int width_, height_;
  double left_;
};

double labels_width(const Axis& axis, int count) {
  std::size_t longest = 1;
  for (const double value : axis.ticks(count))
    longest = std::max(longest, short_number(value).size());
  return static_cast<double>(longest) * kDigit;
}

std::string empty_chart(int width, const std::string& label) {
  const Frame frame(width, 0);
  return frame.open(label) + frame.text(width / 2.0, frame.bottom() / 2, "middle", "no data") +
         "</svg>\n";
}

/// Keeps the first, lowest, highest and last of the points in a column of pixels, which gives the
/// same picture.
class Line {
 public:
  void add(double x, double y) {
    const auto column = std::llround(x);
    if (!points_.empty() && column == column_) {
      points_[1] = y < points_[1].second ? std::pair{x, y} : points_[1];
      points_[2] = y > points_[2].second ? std::pair{x, y} : points_[2];
      points_[3] = {x, y};
      return;
    }
    flush();
    column_ = column;
    points_.assign(4, {x, y});
  }

  void interrupt() {
    flush();
    pen_down_ = false;
  }

  std::string path() {
    flush();
    return path_;
  }

 private:
  void flush() {
    if (points_.size() == 4 && points_[1].first > points_[2].first)
      std::swap(points_[1], points_[2]);
    std::optional<std::pair<double, double>> before;
    for (const auto& point : points_) {
      if (point != before)
        path_ += (pen_down_ ? "L" : "M") + pixels(point.first) + " " + pixels(point.second);
      pen_down_ = true;
      before = point;
    }
    points_.clear();
  }

  std::vector<std::pair<double, double>> points_;
  long long column_ = 0;
  bool pen_down_ = false;
  std::string path_;
};

bool drawable(const LineChart& chart, double x, double y) {
  return std::isfinite(x) && std::isfinite(y) && (!chart.log_x || x > 0) && (!chart.log_y || y > 0);
}

/// Names that are too long for their group alternate between two lines.
std::string group_name(const Frame& frame, const std::string& name, double middle, double group,
                       std::size_t g) {
  const auto letters = static_cast<std::size_t>(group / 7.5);
  const bool fits = name.size() <= letters;
  return "<g><title>" + html_escaped(name) + "</title>" +
         frame.text(middle, frame.bottom() + (fits || g % 2 == 0 ? 18 : 34), "middle",
                    fits ? name : name.substr(0, 2 * letters)) +
         "</g>";
}

std::string one_bar(const GroupedBars& chart, std::size_t g, std::size_t b, const Axis& y,
                    double left, double step) {
  const auto& bar = chart.bars[b];
  const double value = bar.values[g], base = y.pixel(0);
  const bool interval = !bar.low.empty() && std::isfinite(bar.low[g]) && std::isfinite(bar.high[g]);
  std::string title = bar.name + ", " + chart.groups[g] + ": " + short_number(value);
  if (interval) title += " (" + short_number(bar.low[g]) + " to " + short_number(bar.high[g]) + ")";
  std::string svg = "<g><title>" + html_escaped(title) + "</title><rect class=\"bar " +
                    series_class(b) + "\" x=\"" + pixels(left + 1) + "\" y=\"" +
                    pixels(y.pixel(value)) + "\" width=\"" + pixels(std::max(1.0, step - 2)) +
                    "\" height=\"" + pixels(base - y.pixel(value)) + "\"/>";
  if (interval) {
    const double x = left + step / 2, cap = std::min(4.0, step / 4);
    const std::string across = "h" + pixels(2 * cap);
    const double low = y.pixel(std::max(0.0, bar.low[g])), high = y.pixel(bar.high[g]);
    svg += "<path class=\"interval\" d=\"M" + pixels(x) + " " + pixels(low) + "V" + pixels(high) +
           "M" + pixels(x - cap) + " " + pixels(high) + across + "M" + pixels(x - cap) + " " +
           pixels(low) + across + "\"/>";
  }
  return svg + "</g>\n";
}

std::vector<std::string> names_of(const auto& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

}  // namespace

std::string draw(const LineChart& chart, int width) {
  const std::string label = chart.y_label + " over " + chart.x_label;
  Range x_range, y_range;
  for (const Series& series : chart.series)
    for (std::size_t i = 0; i < series.x.size(); ++i)
      if (drawable(chart, series.x[i], series.y[i])) {
        x_range.add(series.x[i]);
        y_range.add(series.y[i]);
      }
  if (x_range.empty()) return empty_chart(width, label);

  const double room =
      labels_width(Axis(y_range.low, y_range.high, 1, 0, chart.log_y).rounded(5), 5);
  const Frame frame(width, room);
  const Axis x(x_range.low, x_range.high, frame.left(), frame.right(), chart.log_x);
  const Axis y =
      Axis(y_range.low, y_range.high, frame.bottom(), frame.top(), chart.log_y).rounded(5);
  std::string svg = frame.open(label) + frame.y_marks(y, 5, chart.y_label) +
                    frame.x_marks(x, width / 90, chart.x_label);
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    const Series& series = chart.series[s];
    Line line;
    for (std::size_t i = 0; i < series.x.size(); ++i) {
      if (drawable(chart, series.x[i], series.y[i]))
        line.add(x.pixel(series.x[i]), y.pixel(series.y[i]));
      else
        line.interrupt();
    }
    svg += "<path class=\"line " + series_class(s) + "\" d=\"" + line.path() + "\"><title>" +
           html_escaped(series.name) + "</title></path>\n";
  }
  return svg + "</svg>\n";
}

std::string draw(const StackedAreas& chart, int width) {
  const std::string label = chart.y_label + " over " + chart.x_label;
  std::vector<double> below(chart.x.size(), 0.0), total(chart.x.size(), 0.0);
  for (const auto& layer : chart.layers)
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += layer.y[i];
  const double highest = total.empty() ? 0 : *std::ranges::max_element(total);
  if (!(highest > 0) || !std::isfinite(highest)) return empty_chart(width, label);

  const double top =
      std::abs(highest - 1) < 0.005 ? 1 : highest;  // shares may add up to a little more than 1
  const Axis y_shape(0, top, 1, 0);
  const Frame frame(width, labels_width(y_shape, 5));
  const Axis x(chart.x.front(), chart.x.back(), frame.left(), frame.right());
  const Axis y(0, top, frame.bottom(), frame.top());
  std::string svg = frame.open(label);
  for (std::size_t s = 0; s < chart.layers.size(); ++s) {
    std::string forth, back;
    for (std::size_t i = 0; i < chart.x.size(); ++i) {
      const double above = below[i] + chart.layers[s].y[i];
      forth += (i == 0 ? "M" : "L") + pixels(x.pixel(chart.x[i])) + " " +
               pixels(y.pixel(std::min(above, top)));
      back =
          "L" + pixels(x.pixel(chart.x[i])) + " " + pixels(y.pixel(std::min(below[i], top))) + back;
      below[i] = above;
    }
    svg += "<path class=\"area " + series_class(s) + "\" d=\"" + forth + back + "Z\"><title>" +
           html_escaped(chart.layers[s].name) + "</title></path>\n";
  }
  return svg + frame.y_marks(y, 5, chart.y_label) + frame.x_marks(x, width / 90, chart.x_label) +
         "</svg>\n";
}

std::string draw(const GroupedBars& chart, int width) {
  Range range;
  range.add(0);
  for (const auto& bar : chart.bars)
    for (const auto* values : {&bar.values, &bar.high})
      for (const double value : *values)
        if (std::isfinite(value)) range.add(value);
  if (range.high <= 0 || chart.groups.empty()) return empty_chart(width, chart.y_label);

  const double room = labels_width(Axis(0, range.high, 1, 0).rounded(kBarMarks), kBarMarks);
  const Frame frame(width, room);
  const Axis y = Axis(0, range.high, frame.bottom(), frame.top()).rounded(kBarMarks);
  std::string svg =
      frame.open(chart.y_label) + frame.y_marks(y, kBarMarks, chart.y_label) + frame.base_line();
  const double group = (frame.right() - frame.left()) / static_cast<double>(chart.groups.size());
  const double step = std::min(56.0, group * 0.86 / static_cast<double>(chart.bars.size()));
  for (std::size_t g = 0; g < chart.groups.size(); ++g) {
    const double middle = frame.left() + group * (static_cast<double>(g) + 0.5);
    svg += group_name(frame, chart.groups[g], middle, group, g);
    for (std::size_t b = 0; b < chart.bars.size(); ++b)
      if (std::isfinite(chart.bars[b].values[g]))
        svg += one_bar(
            chart, g, b, y,
            middle + step * (static_cast<double>(b) - static_cast<double>(chart.bars.size()) / 2),
            step);
  }
  return svg + "</svg>\n";
}

std::vector<std::string> legend_of(const LineChart& chart) { return names_of(chart.series); }
std::vector<std::string> legend_of(const StackedAreas& chart) { return names_of(chart.layers); }
std::vector<std::string> legend_of(const GroupedBars& chart) { return names_of(chart.bars); }

}  // namespace btm
