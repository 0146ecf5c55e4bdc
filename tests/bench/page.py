"""The results of scripts/bench as one HTML file without scripts or external parts, light or dark as
the reader's system.

Plots have a phone's width. A wide window shows two next to each other, enlarged.
"""
import html
import math

from measure import Table, number

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 44

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#16202c;--soft:#54606e;--rule:#d5dbe3;
--point:#2a6fb8;--law:#cf6206;--good:#1f7a3f;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--paper:#12161c;--ink:#e7ecf3;--soft:#a3afbd;
--rule:#343d49;--point:#62a8ee;--law:#f09a4a;--good:#5fc181;--bad:#f0817b}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"DejaVu Sans",sans-serif;
margin:1.5rem auto;max-width:1060px;padding:0 1rem}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.25rem;margin:2.2rem 0 .4rem}
h3{font-size:1.05rem;margin:1.6rem 0 .2rem}
p{margin:.4rem 0;max-width:46rem}.soft{color:var(--soft);font-size:.9rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:.4rem 0}
th,td{padding:.25rem .5rem;border-bottom:1px solid var(--rule);text-align:right;font-weight:400}
th:first-child,td:first-child{text-align:left;padding-left:0}thead th{color:var(--soft);
font-size:.85rem}figure td{white-space:nowrap}
.met{color:var(--good)}.missed{color:var(--bad)}
.plots{display:flex;flex-wrap:wrap;gap:1rem 2rem}figure{flex:1 1 320px;max-width:500px;
margin:.6rem 0;min-width:0}
figcaption{color:var(--soft);font-size:.9rem;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}svg text{font-size:12.5px;fill:var(--soft)}
svg text.axis{fill:var(--ink)}
.grid{stroke:var(--rule);fill:none}.tick{stroke:var(--soft);fill:none}
.law{stroke:var(--law);stroke-width:1.8;stroke-dasharray:6 4;fill:none}.spread{stroke:var(--point);
stroke-width:1.6;fill:none}.point{fill:var(--point)}
.key{display:inline-block;width:24px;vertical-align:middle;margin-right:.3em}
.keys span{white-space:nowrap;margin-right:1.2em}
@media(max-width:640px){.paired thead{display:none}.paired tr{display:grid;
grid-template-columns:auto 1fr;gap:0 .6rem;padding:.5rem 0;border-bottom:1px solid var(--rule)}
.paired td,.paired th{border:0;padding:0;text-align:right}.paired th{grid-column:1/-1;
text-align:left}.paired td:empty{display:none}
.paired td{display:contents}.paired td::before{content:attr(data-name);color:var(--soft);
text-align:left;font-size:.85rem}}
@media print{:root{--paper:#fff;--ink:#000}}
"""


def escaped(text):
    return html.escape(str(text), quote=True)


class Axis:
    """Maps values to pixels, linearly or by the logarithm."""

    def __init__(self, low, high, start, end, log):
        if low == high:
            low, high = (low / 2, high * 2) if log else (low - 1, high + 1)
        self.scale = math.log if log else float
        self.low, self.high, self.start, self.end = low, high, start, end

    def pixel(self, value):
        low, high = self.scale(self.low), self.scale(self.high)
        return self.start + (self.scale(value) - low) / (high - low) * (self.end - self.start)


def round_values(low, high, log):
    """Marks of a y axis, 1, 2 or 5 times powers of ten, from at or below `low` to at or above
    `high`."""
    if log:
        powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        marks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        first = max(i for i, mark in enumerate(marks) if mark <= low * (1 + 1e-9))
        last = min(i for i, mark in enumerate(marks) if mark >= high * (1 - 1e-9))
        return marks[first : last + 1]
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= (high - low) / 5)
    return [i * step for i in range(math.floor(low / step), math.ceil(high / step - 1e-9) + 1)]


def text(x, y, anchor, content, style="label"):
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" '
        f'text-anchor="{anchor}">{escaped(content)}</text>'
    )


def svg(plot, x_label, log_x):
    """Medians with their spread as bars, the law as a dashed line. A linear y axis starts at 0."""
    points, log_y = plot["points"], plot["log_y"]
    values = [value for point in points for value in (point["min"], point["max"])] + [
        y for _, y in plot["curve"]
    ]
    marks = round_values(min(values) if log_y else 0, max(values), log_y)
    x = Axis(
        min(p["x"] for p in points),
        max(p["x"] for p in points),
        LEFT + 14,
        WIDTH - RIGHT - 14,
        log_x,
    )
    y = Axis(marks[0], marks[-1], HEIGHT - BOTTOM, TOP, log_y)
    label = f"{plot['unit']} over {x_label}, measured and expected"
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escaped(label)}">',
        text(2, 15, "start", plot["unit"], "axis"),
    ]
    for mark in marks:
        parts.append(
            f'<path class="grid" d="M{LEFT} {y.pixel(mark):.1f}H{WIDTH - RIGHT}"/>'
            + text(LEFT - 6, y.pixel(mark) + 4, "end", number(mark))
        )
    for point in points:
        at = x.pixel(point["x"])
        parts.append(
            f'<path class="tick" d="M{at:.1f} {HEIGHT - BOTTOM}v5"/>'
            + text(at, HEIGHT - BOTTOM + 18, "middle", number(point["x"]))
        )
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle", x_label, "axis"))
    parts.append(
        '<path class="law" d="M'
        + "L".join(f"{x.pixel(a):.1f} {y.pixel(b):.1f}" for a, b in plot["curve"])
        + '"/>'
    )
    for point in points:
        at, low, high = x.pixel(point["x"]), y.pixel(point["min"]), y.pixel(point["max"])
        title = (
            f"{number(point['x'])}: {number(point['median'])} {plot['unit']} "
            f"({number(point['min'])} to {number(point['max'])}), law {number(point['law'])}"
        )
        parts.append(
            f'<g><title>{escaped(title)}</title><path class="spread" d="M{at - 4:.1f} '
            f'{low:.1f}h8M{at:.1f} {low:.1f}V{high:.1f}M{at - 4:.1f} {high:.1f}h8"/>'
            f'<circle class="point" cx="{at:.1f}" cy="{y.pixel(point["median"]):.1f}" r="3.6"/></g>'
        )
    return "\n".join(parts) + "</svg>\n"


def table(head, rows, style=""):
    """The first cell of a row is its heading. Cells have the name of their column, for narrow
    windows."""
    cells = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    lines = [f'<table class="{style}"><thead><tr>{cells}</tr></thead><tbody>']
    for first, *others in rows:
        columns = "".join(
            f'<td data-name="{escaped(name)}"{verdict(cell)}>'
            + (f"<span>{escaped(cell)}</span>" if cell else "")
            + "</td>"
            for name, cell in zip(head[1:], others)
        )
        lines.append(f'<tr><th scope="row">{escaped(first)}</th>{columns}</tr>')
    return "\n".join(lines) + "</tbody></table>\n"


def verdict(cell):
    return f' class="{cell}"' if cell in ("met", "missed") else ""


def spread(point):
    return f"{number(point['min'])}–{number(point['max'])}" if point["runs"] > 1 else ""


def figure(plot, panel):
    rows = [
        (
            number(p["x"]),
            number(p["median"]),
            spread(p),
            number(p["law"]),
            f"{p['deviation']:+.1f}%",
        )
        for p in plot["points"]
    ]
    heads = (panel["symbol"], plot["unit"], "spread", "law", "off")
    return (
        f"<figure>{svg(plot, panel['x'], panel['log_x'])}<figcaption>Law: "
        f"{escaped(plot['law'])}</figcaption>\n"
        f'<div class="scroll">{table(heads, rows)}</div></figure>\n'
    )


def section(panel):
    notes = "".join(f'<p class="soft">{escaped(note)}</p>\n' for note in panel["notes"])
    return (
        f"<section><h3>{escaped(panel['title'])}</h3>\n<p>{escaped(panel['about'])}</p>\n"
        f"<div class=\"plots\">{''.join(figure(plot, panel) for plot in panel['plots'])}</div>\n"
        f"{notes}<p class=\"soft\">Took {number(panel['seconds'])} s, inputs "
        f"included.</p></section>\n"
    )


KEYS = (
    '<p class="soft keys"><span><svg class="key" viewBox="0 0 24 12" aria-hidden="true"><path '
    'class="spread" d="M8 1h8M12 1V11M8 11h8"/>'
    '<circle class="point" cx="12" cy="6" r="3"/></svg>median, lowest to highest run</span> '
    '<span><svg class="key" viewBox="0 0 24 12" aria-hidden="true"><path class="law" d="M0 '
    '6H24"/></svg>law</span></p>\n'
)


def page(head, rows, panels):
    """`head` says when and where. `rows` are those of Table, `panels` those of growth."""
    title = "btm: speed and memory"
    body = f'<h1>{title}</h1>\n<p class="soft">{escaped(head)}</p>\n'
    if rows:
        cells = table(
            ("measure", "btm", "other side", "ratio (spread)", "target", "result"),
            [Table.cells(row) for row in rows],
            "paired",
        )
        body += (
            f"<h2>Beside the reference</h2>\n<p>Both sides ran in turns; ratios are of paired "
            f"runs.</p>\n{cells}"
        )
    if panels:
        body += (
            "<h2>Growth</h2>\n<p>btm alone, beside the law that its code implies. “Off” is how "
            "far the median is above (+) or below (−) the law.</p>\n"
            + KEYS
            + "".join(map(section, panels))
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n<meta name="viewport" '
        'content="width=device-width,initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
        "'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )
