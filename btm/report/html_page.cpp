#include "btm/report/html_page.h"

#include <algorithm>
#include <cmath>

#include "compat/base/concat.h"
#include "compat/io/atomic_file.h"

namespace btm {
namespace {

constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--paper:#fff;--ink:#16202c;--soft:#54606e;--rule:#d5dbe3;
--heat:#2a78c8;--heat-cap:66%;
--c0:#2a6fb8;--c1:#cf6206;--c2:#2b8a4b;--c3:#b0459a;--c4:#8c6f00;--c5:#0e8ea3;--c6:#c23a36;
--c7:#6459b5}
@media(prefers-color-scheme:dark){:root{--paper:#12161c;--ink:#e7ecf3;--soft:#a3afbd;
--rule:#343d49;--heat:#3f8fe0;--heat-cap:62%;
--c0:#62a8ee;--c1:#f09a4a;--c2:#5fc181;--c3:#df83cd;--c4:#ccb040;--c5:#4fc3d6;--c6:#f0817b;
--c7:#a99ff0}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"DejaVu Sans",sans-serif;
margin:1.5rem auto;max-width:760px;padding:0 1rem}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin:2rem 0 .5rem}h3{font-size:1rem;
margin:1rem 0 0}
figure{margin:1rem 0 1.5rem}figcaption,.note{color:var(--soft);font-size:.9rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--rule);text-align:left;font-weight:400;
white-space:nowrap}
thead th{color:var(--soft);font-size:.85rem}
th[scope=row]{position:sticky;left:0;background:var(--paper)}
.number,.heat td,.heat thead th+th{text-align:right}
.heat td{background:color-mix(in srgb,var(--heat) calc(var(--v)*var(--heat-cap)),var(--paper));
border:2px solid var(--paper)}
.heat th{border-bottom:0}.heat .best{font-weight:700}
svg{display:block;max-width:100%;height:auto}.narrow svg{display:none}
svg text{font-size:12.5px;fill:var(--soft)}svg text.axis{fill:var(--ink)}
.grid{stroke:var(--rule);stroke-width:1;fill:none}.tick{stroke:var(--soft);fill:none}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke:var(--c)}
.line.again{stroke-dasharray:6 4}
.area{fill:var(--c);stroke:var(--paper);stroke-width:.8}.bar{fill:var(--c)}
.area.again,.bar.again{fill-opacity:.55}
.interval{stroke:var(--ink);stroke-width:1.4;fill:none}
.s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}.s4{--c:var(--c4)}
.s5{--c:var(--c5)}.s6{--c:var(--c6)}.s7{--c:var(--c7)}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;list-style:none;margin:.3rem 0;padding:0;
font-size:.9rem}
.legend li::before{content:"";display:inline-block;width:.8em;height:.8em;margin-right:.4em;
border-radius:2px;background:var(--c)}
.legend .again::before{opacity:.55}
.parts{white-space:pre-wrap}.parts span{border-bottom:3px solid var(--c)}
.parts .again{border-bottom-style:dotted}
@media(max-width:600px){.wide svg{display:none}.narrow svg{display:block}}
@media print{:root{--paper:#fff;--ink:#000}}
)css";

/// The class of a colour, as in charts.cpp: after eight they come again.
std::string colour_class(std::size_t number) {
  return compat::concat('s', number % 8, number >= 8 ? " again" : "");
}

std::string captioned(const std::string& content, const std::string& caption) {
  return "<figure>" + content +
         (caption.empty() ? "" : "<figcaption>" + html_escaped(caption) + "</figcaption>") +
         "</figure>\n";
}

/// 1 for the best (lowest) of a column, 0 for its worst, by the logarithm.
double strength(double value, double best, double worst) {
  return worst > best && best > 0 ? 1 - std::log(value / best) / std::log(worst / best) : 1;
}

}  // namespace

void HtmlPage::add_heading(const std::string& text) {
  body_ += "<h2>" + html_escaped(text) + "</h2>\n";
}

void HtmlPage::add_subheading(const std::string& text) {
  body_ += "<h3>" + html_escaped(text) + "</h3>\n";
}

void HtmlPage::add_paragraph(const std::string& text) {
  body_ += "<p>" + html_escaped(text) + "</p>\n";
}

void HtmlPage::add_text(const std::vector<TextPart>& parts) {
  body_ += "<p class=\"parts\">";
  for (const TextPart& part : parts)
    compat::append(body_, "<span class=\"", colour_class(part.colour), "\" title=\"",
                   html_escaped(part.detail), "\">", html_escaped(part.text), "</span>");
  body_ += "</p>\n";
}

void HtmlPage::add_table(const Table& table, const std::string& caption) {
  body_ += captioned(to_html(table), caption);
}

void HtmlPage::add_heat_map(const HeatMap& map, const std::string& caption) {
  std::string html = "<div class=\"scroll\"><table class=\"heat\"><thead><tr><th scope=\"col\">" +
                     html_escaped(map.corner) + "</th>";
  std::vector<double> best, worst;
  for (std::size_t c = 0; c < map.columns.size(); ++c) {
    html += "<th scope=\"col\">" + html_escaped(map.columns[c]) + "</th>";
    std::vector<double> finite;
    for (const auto& row : map.values)
      if (std::isfinite(row[c])) finite.push_back(row[c]);
    best.push_back(finite.empty() ? 0 : *std::ranges::min_element(finite));
    worst.push_back(finite.empty() ? 0 : *std::ranges::max_element(finite));
  }
  html += "</tr></thead><tbody>\n";
  for (std::size_t r = 0; r < map.rows.size(); ++r) {
    html += "<tr><th scope=\"row\">" + html_escaped(map.rows[r]) + "</th>";
    for (std::size_t c = 0; c < map.columns.size(); ++c) {
      const double value = map.values[r][c];
      const double shade = std::isfinite(value) ? strength(value, best[c], worst[c]) : 0;
      html += "<td style=\"--v:" + fixed(shade, 3) + "\"" +
              (value == best[c] ? " class=\"best\"" : "") +
              (map.details.empty() ? "" : " title=\"" + html_escaped(map.details[r][c]) + "\"") +
              ">" + fixed(value, map.digits) + "</td>";
    }
    html += "</tr>\n";
  }
  body_ += captioned(html + "</tbody></table></div>\n", caption);
}

void HtmlPage::add_figure(const std::string& wide, const std::string& narrow,
                          const std::vector<std::string>& legend, const std::string& caption) {
  std::string keys;
  for (std::size_t i = 0; i < legend.size() && legend.size() > 1; ++i)
    compat::append(keys, "<li class=\"", colour_class(i), "\">", html_escaped(legend[i]), "</li>");
  if (!keys.empty()) keys = "<ul class=\"legend\">" + keys + "</ul>\n";
  body_ += captioned(
      keys + "<div class=\"wide\">" + wide + "</div><div class=\"narrow\">" + narrow + "</div>",
      caption);
}

std::string HtmlPage::html() const {
  const std::string title = html_escaped(title_);
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
         "'unsafe-inline'\">\n<title>" +
         title + "</title>\n<style>" + std::string(kStyle) + "</style></head>\n<body><h1>" + title +
         "</h1>\n" + body_ + "</body></html>\n";
}

void HtmlPage::write(const std::filesystem::path& path) const {
  compat::write_file_atomically(path, html());
}

}  // namespace btm
