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

std::string series_class(std::size_t i, const ChartColours& colours) {
  return colour_class(i < colours.size() ? colours[i] : i);
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
      : Frame(width, labels_width, std::clamp(width / 2, 230, 360)) {}
  Frame(int width, double labels_width, int height)
      : width_(width), height_(height), left_(labels_width + 12) {}

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

/// What a bar says when it is pointed at.
std::string bar_title(const GroupedBars& chart, std::size_t g, std::size_t b) {
  const auto& bar = chart.bars[b];
  std::string title = bar.name + ", " + chart.groups[g] + ": " + short_number(bar.values[g]);
  if (!bar.low.empty() && std::isfinite(bar.low[g]) && std::isfinite(bar.high[g]))
    title += " (" + short_number(bar.low[g]) + " to " + short_number(bar.high[g]) + ")";
  return "<g><title>" + html_escaped(title) + "</title>";
}

/// The bar's number in the legend, at its foot; "" where it is too thin for a digit.
std::string bar_number(double x, double y, double thickness, std::size_t b) {
  constexpr double kThinnest = 11;
  if (thickness < kThinnest) return {};
  return "<text class=\"mark\" x=\"" + pixels(x) + "\" y=\"" + pixels(y) +
         "\" text-anchor=\"middle\">" + std::to_string(b + 1) + "</text>";
}

std::string one_bar(const GroupedBars& chart, std::size_t g, std::size_t b, const Axis& y,
                    double left, double step, const ChartColours& colours) {
  const auto& bar = chart.bars[b];
  const double value = bar.values[g], base = y.pixel(0);
  std::string svg = bar_title(chart, g, b) + "<rect class=\"bar " + series_class(b, colours) +
                    "\" x=\"" + pixels(left + 1) + "\" y=\"" + pixels(y.pixel(value)) +
                    "\" width=\"" + pixels(std::max(1.0, step - 2)) + "\" height=\"" +
                    pixels(base - y.pixel(value)) + "\"/>";
  if (base - y.pixel(value) > 16) svg += bar_number(left + step / 2, base - 4, step, b);
  if (!bar.low.empty() && std::isfinite(bar.low[g]) && std::isfinite(bar.high[g])) {
    const double x = left + step / 2, cap = std::min(4.0, step / 4);
    const std::string across = "h" + pixels(2 * cap);
    const double low = y.pixel(std::max(0.0, bar.low[g])), high = y.pixel(bar.high[g]);
    svg += "<path class=\"interval\" d=\"M" + pixels(x) + " " + pixels(low) + "V" + pixels(high) +
           "M" + pixels(x - cap) + " " + pixels(high) + across + "M" + pixels(x - cap) + " " +
           pixels(low) + across + "\"/>";
  }
  return svg + "</g>\n";
}

/// The same on its side, between `top` and the next bar.
std::string lying_bar(const GroupedBars& chart, std::size_t g, std::size_t b, const Axis& x,
                      double top, double step, const ChartColours& colours) {
  const auto& bar = chart.bars[b];
  const double end = x.pixel(bar.values[g]), base = x.pixel(0), middle = top + step / 2;
  std::string svg = bar_title(chart, g, b) + "<rect class=\"bar " + series_class(b, colours) +
                    "\" x=\"" + pixels(base) + "\" y=\"" + pixels(top + 1) + "\" width=\"" +
                    pixels(std::max(1.0, end - base)) + "\" height=\"" + pixels(step - 2) + "\"/>";
  if (end - base > 16) svg += bar_number(base + 8, middle + 4, step, b);
  if (!bar.low.empty() && std::isfinite(bar.low[g]) && std::isfinite(bar.high[g])) {
    const double low = x.pixel(std::max(0.0, bar.low[g])), high = x.pixel(bar.high[g]);
    const std::string cap = " " + pixels(middle - 3) + "v6";
    svg += "<path class=\"interval\" d=\"M" + pixels(low) + " " + pixels(middle) + "H" +
           pixels(high) + "M" + pixels(low) + cap + "M" + pixels(high) + cap + "\"/>";
  }
  return svg + "</g>\n";
}

constexpr int kLyingBar = 13, kLyingGroup = 24;

std::string draw_lying(const GroupedBars& chart, int width, double highest,
                       const ChartColours& colours) {
  const int bars = static_cast<int>(chart.bars.size()),
            groups = static_cast<int>(chart.groups.size());
  const Frame frame(width, 0, kTop + kBottom + groups * (kLyingGroup + bars * kLyingBar));
  const Axis x = Axis(0, highest, frame.left(), frame.right()).rounded(4);
  std::string svg = frame.open(chart.label.empty() ? chart.y_label : chart.label) +
                    frame.x_marks(x, width / 90, chart.y_label);
  for (std::size_t g = 0; g < chart.groups.size(); ++g) {
    const double top = kTop - 20.0 + static_cast<double>(g) * (kLyingGroup + bars * kLyingBar);
    svg += frame.text(frame.left(), top + 18, "start", chart.groups[g]);
    for (std::size_t b = 0; b < chart.bars.size(); ++b)
      if (std::isfinite(chart.bars[b].values[g]))
        svg += lying_bar(chart, g, b, x, top + kLyingGroup + static_cast<double>(b) * kLyingBar,
                         kLyingBar, colours);
  }
  return svg + "</svg>\n";
}

/// The name of a layer where it is thick enough for letters; "" where it never is.
std::string layer_name(const Frame& frame, const std::string& name, const Axis& x, const Axis& y,
                       const std::vector<double>& at, const std::vector<double>& below,
                       const std::vector<double>& above) {
  constexpr double kThick = 16, kLetter = 7.2;
  const double half = static_cast<double>(name.size()) * kLetter / 2;
  double best = 0;
  std::size_t place = 0;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const double thick = y.pixel(below[i]) - y.pixel(above[i]), here = x.pixel(at[i]);
    if (thick <= best || here - half < frame.left() || here + half > frame.right()) continue;
    best = thick;
    place = i;
  }
  if (best < kThick) return {};
  return frame.text(x.pixel(at[place]), (y.pixel(below[place]) + y.pixel(above[place])) / 2 + 4,
                    "middle", name, "inside");
}

std::vector<std::string> names_of(const auto& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

/// Half the widest range, so that both scales of a plane are alike.
double half_extent(const ScatterPlot& chart, Range& x, Range& y) {
  for (const ScatterPlot::Group& group : chart.groups)
    for (std::size_t i = 0; i < group.x.size(); ++i)
      if (std::isfinite(group.x[i]) && std::isfinite(group.y[i])) {
        x.add(group.x[i]);
        y.add(group.y[i]);
      }
  return x.empty() ? 0 : std::max({x.high - x.low, y.high - y.low, 1e-9}) / 2;
}

}  // namespace

std::string colour_class(std::size_t number) {
  constexpr std::size_t kColours = 10;  // as a demo of four domains has models
  return compat::concat('s', number % kColours, " d", (number + number / kColours) % 4,
                        number >= kColours ? " again" : "");
}

std::string draw(const LineChart& chart, int width, const ChartColours& colours) {
  const std::string label =
      chart.label.empty() ? chart.y_label + " over " + chart.x_label : chart.label;
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
    svg += "<path class=\"line " + series_class(s, colours) + "\" d=\"" + line.path() +
           "\"><title>" + html_escaped(series.name) + "</title></path>\n";
  }
  return svg + "</svg>\n";
}

std::string draw(const StackedAreas& chart, int width, const ChartColours& colours) {
  const std::string label =
      chart.label.empty() ? chart.y_label + " over " + chart.x_label : chart.label;
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
  std::string svg = frame.open(label), names;
  for (std::size_t s = 0; s < chart.layers.size(); ++s) {
    const std::vector<double> under = below;
    std::string forth, back;
    for (std::size_t i = 0; i < chart.x.size(); ++i) {
      const double above = below[i] + chart.layers[s].y[i];
      forth += (i == 0 ? "M" : "L") + pixels(x.pixel(chart.x[i])) + " " +
               pixels(y.pixel(std::min(above, top)));
      back =
          "L" + pixels(x.pixel(chart.x[i])) + " " + pixels(y.pixel(std::min(below[i], top))) + back;
      below[i] = above;
    }
    names += layer_name(frame, chart.layers[s].name, x, y, chart.x, under, below);
    svg += "<path class=\"area " + series_class(s, colours) + "\" d=\"" + forth + back +
           "Z\"><title>" + html_escaped(chart.layers[s].name) + "</title></path>\n";
  }
  return svg + frame.y_marks(y, 5, chart.y_label) + frame.x_marks(x, width / 90, chart.x_label) +
         names + "</svg>\n";
}

std::string draw(const GroupedBars& chart, int width, const ChartColours& colours) {
  Range range;
  range.add(0);
  for (const auto& bar : chart.bars)
    for (const auto* values : {&bar.values, &bar.high})
      for (const double value : *values)
        if (std::isfinite(value)) range.add(value);
  const std::string label = chart.label.empty() ? chart.y_label : chart.label;
  if (range.high <= 0 || chart.groups.empty()) return empty_chart(width, label);

  const double room = labels_width(Axis(0, range.high, 1, 0).rounded(kBarMarks), kBarMarks);
  const Frame frame(width, room);
  const Axis y = Axis(0, range.high, frame.bottom(), frame.top()).rounded(kBarMarks);
  std::string svg =
      frame.open(label) + frame.y_marks(y, kBarMarks, chart.y_label) + frame.base_line();
  const double group = (frame.right() - frame.left()) / static_cast<double>(chart.groups.size());
  const double step = std::min(56.0, group * 0.86 / static_cast<double>(chart.bars.size()));
  std::size_t longest = 0;
  for (const std::string& name : chart.groups) longest = std::max(longest, name.size());
  constexpr double kThinnest = 12, kLetter = 7.5;
  if (step < kThinnest || static_cast<double>(longest) * kLetter > group)
    return draw_lying(chart, width, range.high, colours);
  for (std::size_t g = 0; g < chart.groups.size(); ++g) {
    const double middle = frame.left() + group * (static_cast<double>(g) + 0.5);
    svg += frame.text(middle, frame.bottom() + 18, "middle", chart.groups[g]);
    for (std::size_t b = 0; b < chart.bars.size(); ++b)
      if (std::isfinite(chart.bars[b].values[g]))
        svg += one_bar(
            chart, g, b, y,
            middle + step * (static_cast<double>(b) - static_cast<double>(chart.bars.size()) / 2),
            step, colours);
  }
  return svg + "</svg>\n";
}

std::string draw(const ScatterPlot& chart, int width, const ChartColours& colours) {
  Range x_range, y_range;
  const double half = half_extent(chart, x_range, y_range);
  if (half == 0) return empty_chart(width, chart.label);
  const int height = std::min(width, 620);
  const Frame frame(width, 0, height);
  const double middle_x = (x_range.low + x_range.high) / 2,
               middle_y = (y_range.low + y_range.high) / 2;
  const double scale = (height / 2.0 - 20) / half;
  const auto place = [&](double x, double y) {
    return "cx=\"" + pixels(width / 2.0 + (x - middle_x) * scale) + "\" cy=\"" +
           pixels(height / 2.0 - (y - middle_y) * scale) + "\"";
  };
  std::string svg = frame.open(chart.label), rings;
  for (std::size_t g = 0; g < chart.groups.size(); ++g) {
    const ScatterPlot::Group& group = chart.groups[g];
    svg += "<g class=\"dots " + series_class(g, colours) + "\"><title>" + html_escaped(group.name) +
           "</title>";
    for (std::size_t i = 0; i < group.x.size(); ++i)
      if (std::isfinite(group.x[i]) && std::isfinite(group.y[i]))
        svg += "<circle r=\"2.2\" " + place(group.x[i], group.y[i]) + "/>";
    svg += "</g>\n";
    if (!group.center_x || !group.center_y) continue;
    rings += "<circle class=\"ring " + series_class(g, colours) + "\" r=\"9\" " +
             place(*group.center_x, *group.center_y) + "/>" +
             frame.text(width / 2.0 + (*group.center_x - middle_x) * scale,
                        height / 2.0 - (*group.center_y - middle_y) * scale + 4, "middle",
                        std::to_string(g + 1), "inside");
  }
  return svg + rings + "</svg>\n";
}

std::vector<std::string> legend_of(const ScatterPlot& chart) { return names_of(chart.groups); }
std::vector<std::string> legend_of(const LineChart& chart) { return names_of(chart.series); }
std::vector<std::string> legend_of(const StackedAreas& chart) { return names_of(chart.layers); }
std::vector<std::string> legend_of(const GroupedBars& chart) { return names_of(chart.bars); }

}  // namespace btm
