#include "btm/report/table.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "compat/base/code_points.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"

namespace btm {
namespace {

/// Columns of a terminal, one per character.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(compat::code_points(text));
}

std::string padded(const std::string& text, std::size_t width, bool right) {
  const std::string fill(width - std::min(width, width_of(text)), ' ');
  return right ? fill + text : text + fill;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::string to_text(const Table& table, std::size_t width) {
  if (table.columns.empty()) return {};
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    widths.push_back(width_of(table.columns[c].name));
    for (const auto& row : table.rows) widths[c] = std::max(widths[c], width_of(row[c]));
  }
  std::string text;
  std::size_t from = 1;
  do {
    std::size_t to = from, used = widths[0];
    while (to < widths.size() && (width == 0 || to == from || used + 2 + widths[to] <= width))
      used += 2 + widths[to++];
    const auto add_line = [&](const auto& cell) {
      std::string line = padded(cell(0), widths[0], table.columns[0].numeric);
      for (std::size_t c = from; c < to; ++c)
        line += "  " + padded(cell(c), widths[c], table.columns[c].numeric);
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    };
    if (from > 1) text += "\n";
    add_line([&](std::size_t c) { return table.columns[c].name; });
    for (const auto& row : table.rows) add_line([&](std::size_t c) { return row[c]; });
    from = to;
  } while (from < widths.size());
  return text;
}

std::string to_csv(const Table& table) {
  std::string text;
  for (std::size_t c = 0; c < table.columns.size(); ++c)
    text += (c > 0 ? "," : "") + csv_field(table.columns[c].name);
  text += "\n";
  for (const auto& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) text += (c > 0 ? "," : "") + csv_field(row[c]);
    text += "\n";
  }
  return text;
}

std::string to_html(const Table& table) {
  std::string html = std::string(kScrollBox) +
                     (table.pins_last ? "<table class=\"pinned\">" : "<table>") + "<thead><tr>";
  const auto align = [&](std::size_t c) {
    return table.columns[c].numeric ? " class=\"number\"" : "";
  };
  for (std::size_t c = 0; c < table.columns.size(); ++c)
    html += std::string("<th scope=\"col\"") + align(c) + ">" +
            html_escaped(table.columns[c].name) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c)
      html += c == 0 ? "<th scope=\"row\">" + html_escaped(row[c]) + "</th>"
                     : std::string("<td") + align(c) + ">" + html_escaped(row[c]) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string html_escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t valid = std::min(compat::first_invalid_utf8(text), text.size());
    for (const char c : text.substr(0, valid)) {
      switch (c) {
        case '&':
          out += "&amp;";
          break;
        case '<':
          out += "&lt;";
          break;
        case '>':
          out += "&gt;";
          break;
        case '"':
          out += "&quot;";
          break;
        case '\'':
          out += "&#39;";
          break;
        default:
          out += c;
      }
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    out += "\xEF\xBF\xBD";
    text.remove_prefix(1);
  }
  return out;
}

std::string fixed(double value, int digits) {
  return std::isfinite(value) ? compat::decimal(value, digits) : "–";
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size >= 1e6) return compat::general(value / 1e6, 4) + "M";
  if (size >= 1e4) return compat::general(value / 1e3, 4) + "k";
  return compat::general(value, 4);
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) return "–";
  if (seconds < 1) return compat::decimal(seconds * 1000, 0) + " ms";
  if (seconds < 100) return compat::decimal(seconds, 1) + " s";
  const std::int64_t whole = std::llround(seconds);
  const std::string rest = compat::zero_filled(whole < 3600 ? whole % 60 : whole / 60 % 60, 2);
  if (whole < 3600) return compat::concat(whole / 60, " min ", rest, " s");
  return compat::concat(whole / 3600, " h ", rest, " min");
}

}  // namespace btm
