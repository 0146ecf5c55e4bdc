#include "btm/report/html_page.h"

#include <algorithm>
#include <cmath>

#include "compat/base/concat.h"
#include "compat/io/atomic_file.h"

namespace btm {
namespace {

constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--paper:#fff;--ink:#16202c;--soft:#54606e;--rule:#d5dbe3;
--heat:#2a78c8;--heat-cap:66%;--shade:#0004;
--c0:#2a6fb8;--c1:#cf6206;--c2:#2b8a4b;--c3:#b0459a;--c4:#8c6f00;--c5:#0e8ea3;--c6:#c23a36;
--c7:#6459b5;--c8:#6c737d;--c9:#8a4b28}
@media(prefers-color-scheme:dark){:root{--paper:#12161c;--ink:#e7ecf3;--soft:#a3afbd;
--rule:#343d49;--heat:#3f8fe0;--heat-cap:62%;--shade:#fff5;
--c0:#62a8ee;--c1:#f09a4a;--c2:#5fc181;--c3:#df83cd;--c4:#ccb040;--c5:#4fc3d6;--c6:#f0817b;
--c7:#a99ff0;--c8:#b4bcc8;--c9:#cf9a78}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"DejaVu Sans",sans-serif;
margin:1.5rem auto;max-width:1560px;padding:0 1.2rem}
p,figcaption,.notes{max-width:82ch}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin:2rem 0 .5rem}h3{font-size:1rem;
margin:1rem 0 0}
figure{margin:1rem 0 1.5rem}figcaption,.note{color:var(--soft);font-size:.9rem}
.scroll{overflow-x:auto;max-width:max-content;
background:linear-gradient(to right,var(--paper) 30%,transparent) 0 0/3rem 100% no-repeat local,
linear-gradient(to left,var(--paper) 30%,transparent) 100% 0/3rem 100% no-repeat local,
linear-gradient(to left,var(--shade),transparent) 100% 0/1.1rem 100% no-repeat scroll}
.scroll:focus-visible{outline:2px solid var(--heat);outline-offset:2px}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--rule);text-align:left;font-weight:400;
white-space:nowrap}
thead th{color:var(--soft);font-size:.85rem}
th[scope=row]{position:sticky;left:0;background:var(--paper)}
@media screen and (min-width:600px){.pinned tr>:last-child{position:sticky;right:0;
box-shadow:-7px 0 6px -6px var(--shade)}
.pinned th:last-child,.pinned:not(.heat) td:last-child{background:var(--paper)}}
.number,.heat td,.heat thead th+th{text-align:right}
.heat td{background:color-mix(in srgb,var(--heat) calc(var(--v)*var(--heat-cap)),var(--paper));
border:2px solid var(--paper)}
.heat th{border-bottom:0}td small{display:block;font-size:.72rem;font-weight:400}
pre{font-size:.8rem;margin:0;padding:.4rem 0}.heat .best{font-weight:700}
svg{display:block;max-width:100%;height:auto}.narrow svg,.broad svg{display:none}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(340px,100%),1fr));
gap:.4rem 1.2rem}.grid h3{margin:.6rem 0 0}.grid svg{width:100%}
svg text{font-size:12.5px;fill:var(--soft)}svg text.axis{fill:var(--ink)}
svg text.mark{font-size:9.5px;fill:var(--paper)}
svg text.inside{fill:var(--ink);stroke:var(--paper);stroke-width:3px;paint-order:stroke}
path.grid{stroke:var(--rule);stroke-width:1;fill:none}.tick{stroke:var(--soft);fill:none}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke:var(--c)}
.line.d1{stroke-dasharray:8 3}.line.d2{stroke-dasharray:2.5 3}
.line.d3{stroke-dasharray:9 3 2 3}.dots{fill:var(--c);fill-opacity:.55}
.ring{fill:none;stroke:var(--c);stroke-width:3}
.area{fill:var(--c);stroke:var(--paper);stroke-width:.8}.bar{fill:var(--c)}
.area.again,.bar.again{fill-opacity:.55}
.interval{stroke:var(--ink);stroke-width:1.4;fill:none}
.s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}.s4{--c:var(--c4)}
.s5{--c:var(--c5)}.s6{--c:var(--c6)}.s7{--c:var(--c7)}.s8{--c:var(--c8)}.s9{--c:var(--c9)}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;list-style:none;margin:.3rem 0;padding:0;
font-size:.9rem}
.legend svg{display:inline-block;width:34px;height:11px;margin-right:.4em}
.legend b{font-weight:600;font-size:.8em;color:var(--soft)}
.parts{white-space:pre-wrap}.parts span{border-bottom:3px solid var(--c)}
.parts .again{border-bottom:3px dotted color-mix(in srgb,var(--c) 55%,var(--paper))}
@media screen and (max-width:799px){.wide svg{display:none}.narrow svg{display:block}}
@media screen and (max-width:420px){body{padding:0 .8rem}}
@media screen and (min-width:1180px){.wide svg{display:none}
.broad svg{display:block;width:100%;max-width:1400px}}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--rule:#ccc;
--heat:#2a78c8;--heat-cap:66%;--c0:#2a6fb8;--c1:#cf6206;--c2:#2b8a4b;--c3:#b0459a;--c4:#8c6f00;
--c5:#0e8ea3;--c6:#c23a36;--c7:#6459b5;--c8:#6c737d;--c9:#8a4b28}
body{margin:0;padding:0;max-width:none;font-size:10.5pt;print-color-adjust:exact;
-webkit-print-color-adjust:exact}
h2,h3,h2+p,h3+p,p:has(+.parts),.legend,.parts{break-after:avoid}
figure,.grid>div,tr,li{break-inside:avoid}
figure.long{break-inside:auto}thead{display:table-header-group}
.scroll{overflow:visible;background:none;max-width:none}
table{font-size:7.5pt;max-width:100%}
th,td{white-space:normal;overflow-wrap:anywhere;padding:.12rem .22rem}
thead th{font-size:7pt}th[scope=row]{position:static}td small{font-size:6pt}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:7pt}
svg{max-height:20cm;width:auto}.grid{grid-template-columns:1fr 1fr}}
)css";

std::string captioned(const std::string& content, const std::string& caption,
                      bool is_long = false) {
  return (is_long ? "<figure class=\"long\">" : "<figure>") + content +
         (caption.empty() ? "" : "<figcaption>" + html_escaped(caption) + "</figcaption>") +
         "</figure>\n";
}

/// What a legend shows of a series: drawn as in its chart, by the same rules of style.
std::string legend_sample(LegendKey key, const std::string& colour) {
  const std::string shape =
      key == LegendKey::kLine    ? "<path class=\"line " + colour + "\" d=\"M0 5.5H34\"/>"
      : key == LegendKey::kLayer ? "<path class=\"area " + colour + "\" d=\"M0 0H34V11H0Z\"/>"
      : key == LegendKey::kDot
          ? "<g class=\"dots " + colour + "\"><circle r=\"4\" cx=\"17\" cy=\"5.5\"/></g>"
          : "<rect class=\"bar " + colour + "\" width=\"34\" height=\"11\"/>";
  return "<svg viewBox=\"0 0 34 11\" width=\"34\" height=\"11\" aria-hidden=\"true\">" + shape +
         "</svg>";
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
    compat::append(body_, "<span class=\"", colour_class(colours_of({part.model}).front()),
                   "\" title=\"", html_escaped(part.detail), "\">", html_escaped(part.text),
                   "</span>");
  body_ += "</p>\n";
}

void HtmlPage::add_table(const Table& table, const std::string& caption) {
  constexpr std::size_t kLong = 25;  // rows that may be more than a printed page
  body_ += captioned(to_html(table), caption, table.rows.size() > kLong);
}

void HtmlPage::add_heat_map(const HeatMap& map, const std::string& caption) {
  std::string html = std::string(kScrollBox) +
                     "<table class=\"heat pinned\"><thead><tr><th scope=\"col\">" +
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
              ">" + fixed(value, map.digits) +
              (map.notes.empty() || map.notes[r][c].empty()
                   ? ""
                   : "<small>" + html_escaped(map.notes[r][c]) + "</small>") +
              "</td>";
    }
    html += "</tr>\n";
  }
  body_ += captioned(html + "</tbody></table></div>\n", caption);
}

void HtmlPage::add_list(const std::vector<std::string>& items) {
  body_ += "<ul class=\"notes\">";
  for (const std::string& item : items) body_ += "<li>" + html_escaped(item) + "</li>\n";
  body_ += "</ul>\n";
}

void HtmlPage::add_lines(const std::string& text) {
  body_ += std::string(kScrollBox) + "<pre>" + html_escaped(text) + "</pre></div>\n";
}

ChartColours HtmlPage::colours_of(const std::vector<std::string>& names) {
  ChartColours colours;
  for (const std::string& name : names) {
    const auto known = std::ranges::find(coloured_, name);
    colours.push_back(static_cast<std::size_t>(known - coloured_.begin()));
    if (known == coloured_.end()) coloured_.push_back(name);
  }
  return colours;
}

/// Lines have patterns, bars have numbers, so that a model is known without its colour. A layer has
/// its name inside.
std::string HtmlPage::legend_text(const std::vector<std::string>& names,
                                  const ChartColours& colours, LegendKey key) {
  if (names.size() < 2) return {};
  std::string keys;
  for (std::size_t i = 0; i < names.size(); ++i)
    compat::append(keys, "<li>", legend_sample(key, colour_class(colours[i])),
                   key == LegendKey::kNumberedBlock ? compat::concat("<b>", i + 1, "</b> ") : "",
                   html_escaped(names[i]), "</li>");
  return "<ul class=\"legend\">" + keys + "</ul>\n";
}

void HtmlPage::add_figure(const std::string& broad, const std::string& wide,
                          const std::string& narrow, const std::string& legend,
                          const std::string& caption) {
  body_ += captioned(legend + "<div class=\"broad\">" + broad + "</div><div class=\"wide\">" +
                         wide + "</div><div class=\"narrow\">" + narrow + "</div>",
                     caption);
}

void HtmlPage::add_grid(const std::vector<std::pair<std::string, std::string>>& charts,
                        const std::string& legend) {
  body_ += legend + "<div class=\"grid\">";
  for (const auto& [title, svg] : charts)
    body_ += "<div><h3>" + html_escaped(title) + "</h3>" + svg + "</div>\n";
  body_ += "</div>\n";
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
