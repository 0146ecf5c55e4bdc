#!/usr/bin/env python3
"""Draws Branch-Train-Merge: .github/pictures/method-light.svg and method-dark.svg.

    scripts/make_method_picture.py [--check]

--check writes nothing. It exits with 1 when a picture is not what this script draws. The text is
large enough to be read where the picture is 360 pixels wide.
"""
import pathlib
import sys
from xml.sax.saxutils import escape

FOLDER = pathlib.Path(__file__).resolve().parent.parent / ".github/pictures"
WIDTH, HEIGHT = 760, 500
DOMAINS = ("german", "jargon", "perl", "politics")  # those of scripts/demo
ROWS = (112, 198, 284, 370)  # the experts' upper edges
EXPERT_HEIGHT = 66
# The length of each expert's bar in the ensemble: a mixture that believes "perl" most.
BELIEF = (0.16, 0.34, 0.92, 0.24)
TITLE = "Branch-Train-Merge"
DESCRIPTION = (
    "Branch: one seed language model is copied, once for each domain. Train: each copy, an expert, "
    "trains alone on the text of its domain. Merge: the experts are an ensemble that the domain "
    "posterior weighs, or their weights are averaged into one model."
)
# The experts' colours are told apart in all common kinds of colour blindness (Okabe and Ito 2008).
THEMES = {
    "light": {
        "text": "#1f2328",
        "faint": "#59636e",
        "line": "#818b98",
        "box": "#f6f8fa",
        "experts": ("#0072b2", "#b8860b", "#009e73", "#c2508f"),
    },
    "dark": {
        "text": "#f0f6fc",
        "faint": "#9198a1",
        "line": "#9198a1",
        "box": "#151b23",
        "experts": ("#56b4e9", "#e6a817", "#2bbd8f", "#e58bbd"),
    },
}


def text(x, y, words, size, fill, anchor="middle", weight="normal"):
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )


def box(x, y, width, height, fill, stroke):
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="2"/>'
    )


def arrow(start, end, colour, dashed=False):
    """A curve from a right edge to a left edge, with a head."""
    (x0, y0), (x1, y1) = start, end
    middle, tip = (x0 + x1) / 2, x1 - 9
    dashes = ' stroke-dasharray="6 5"' if dashed else ""
    return (
        f'<path d="M{x0} {y0} C{middle} {y0} {middle} {y1} {tip} {y1}" fill="none" '
        f'stroke="{colour}" stroke-width="2.5"{dashes}/>'
        f'<path d="M{x1} {y1} l-11 -6 v12 z" fill="{colour}"/>'
    )


def page_of_text(x, y, colour):
    """A sheet with lines on it, 30 by 38."""
    lines = "".join(f"M{x + 6} {y + 10 + 9 * i} h{(18, 18, 11)[i]} " for i in range(3))
    return (
        f'<rect x="{x}" y="{y}" width="30" height="38" rx="3" fill="none" stroke="{colour}" '
        f'stroke-width="2"/><path d="{lines.strip()}" stroke="{colour}" stroke-width="2"/>'
    )


def headings(theme):
    steps = (
        (84, "1. Branch", "copy one model"),
        (330, "2. Train", "each alone, on its text"),
        (640, "3. Merge", "one of two ways"),
    )
    for x, name, what in steps:
        yield text(x, 36, name, 28, theme["text"], weight="bold")
        yield text(x, 70, what, 21, theme["faint"])


def seed(theme):
    yield box(20, 234, 128, 80, theme["box"], theme["line"])
    yield text(84, 268, "seed", 24, theme["text"], weight="bold")
    yield text(84, 295, "model", 22, theme["text"])


def experts(theme):
    for top, domain, colour in zip(ROWS, DOMAINS, theme["experts"]):
        middle = top + EXPERT_HEIGHT / 2
        yield arrow((148, 274), (222, middle), theme["line"])
        yield box(222, top, 216, EXPERT_HEIGHT, theme["box"], colour)
        yield page_of_text(238, top + 14, colour)
        yield text(284, top + 29, domain, 24, theme["text"], "start", "bold")
        yield text(284, top + 54, "expert", 21, theme["faint"], "start")


def merged(theme):
    for top, colour in zip(ROWS, theme["experts"]):
        start = (438, top + EXPERT_HEIGHT / 2)
        yield arrow(start, (530, 194), colour)
        yield arrow(start, (530, 398), colour, dashed=True)
    yield box(530, 100, 220, 188, theme["box"], theme["line"])
    yield text(640, 134, "ensemble", 24, theme["text"], weight="bold")
    for i, (share, colour) in enumerate(zip(BELIEF, theme["experts"])):
        yield (
            f'<rect x="552" y="{152 + 21 * i}" width="{round(176 * share)}" height="14" rx="3" '
            f'fill="{colour}"/>'
        )
    yield text(640, 256, "weighted by the", 20, theme["faint"])
    yield text(640, 278, "domain posterior", 20, theme["faint"])
    yield box(530, 348, 220, 100, theme["box"], theme["line"])
    yield text(640, 388, "average", 24, theme["text"], weight="bold")
    yield text(640, 420, "of their weights", 21, theme["faint"])


def picture(theme):
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" font-family="system-ui, -apple-system, Segoe UI, '
        'Helvetica, Arial, sans-serif">',
        f"<title>{TITLE}</title>",
        f"<desc>{escape(DESCRIPTION)}</desc>",
        *headings(theme),
        *seed(theme),
        *experts(theme),
        *merged(theme),
        text(
            WIDTH / 2,
            482,
            "The experts never talk to each other while they train.",
            21,
            theme["faint"],
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main():
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    status = 0
    for name, theme in THEMES.items():
        file, drawn = FOLDER / f"method-{name}.svg", picture(theme)
        if not arguments:
            file.write_text(drawn)
        elif not file.is_file() or file.read_text() != drawn:
            print(f"{file} is not what scripts/make_method_picture.py draws", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
