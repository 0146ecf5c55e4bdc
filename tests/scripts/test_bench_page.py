#!/usr/bin/env python3
"""Tests the report of scripts/bench with given rows and points, and the laws fitted to them."""
import html.parser
import pathlib
import re
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "bench"))
from growth import plot  # noqa: E402
from laws import Fitted, Law, Term  # noqa: E402
from measure import Table  # noqa: E402
from page import page  # noqa: E402
from run import GROWTH, chosen_measures  # noqa: E402

LINE = Law(
    "seconds = a + b·T",
    (Term("a", "ms", 1e3, lambda x: 1), Term("b", "µs", 1e6, lambda x: x)),
    shown=lambda _, v: 1 / v,
)
CONSTANT = Law("peak = m", (Term("m", "MiB", 1, lambda x: 1),))


def panel(*plots, **changes):
    return {
        "name": "context",
        "title": "Context",
        "x": "tokens",
        "symbol": "T",
        "log_x": True,
        "about": "a model",
        "notes": ["a note"],
        "seconds": 12.0,
        "plots": list(plots),
        **changes,
    }


class Elements(html.parser.HTMLParser):
    """The elements of the page, as (tag, attributes). Fails when tags are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> in {self.open}"

    def handle_data(self, data):
        self.text += data

    def of_class(self, name):
        return [attributes for _, attributes in self.found if attributes.get("class") == name]


class LawTest(unittest.TestCase):
    def test_finds_the_law_that_made_the_points(self):
        fitted = Fitted(LINE, [(x, 1 / (0.002 + 3e-7 * x)) for x in (256, 512, 1024, 4096)])
        self.assertAlmostEqual(fitted.parameters["a"], 0.002, places=12)
        self.assertAlmostEqual(fitted.parameters["b"], 3e-7, places=15)
        self.assertAlmostEqual(fitted.at(2048), 1 / (0.002 + 3e-7 * 2048), places=6)
        self.assertEqual(fitted.text(), "seconds = a + b·T; a = 2 ms, b = 0.3 µs (least squares)")

    def test_a_cost_is_not_negative(self):
        fitted = Fitted(
            LINE, [(1, 1 / 3.0), (2, 1 / 2.0), (3, 1 / 1.0)]
        )  # faster the longer: b would be -1
        self.assertEqual(fitted.parameters["b"], 0)
        self.assertGreater(fitted.parameters["a"], 1)

    def test_known_terms_are_not_fitted(self):
        law = Law("m + 4·n", (Term("m", "MiB", 1, lambda x: 1),), known=lambda n: 4 * n)
        self.assertAlmostEqual(Fitted(law, [(1, 14), (10, 50)]).parameters["m"], 10, places=9)

    def test_refuses_points_that_do_not_determine_it(self):
        with self.assertRaisesRegex(ValueError, "do not determine"):
            Fitted(LINE, [(512, 600.0), (512, 601.0)])


class PageTest(unittest.TestCase):
    def test_draws_the_points_their_spread_and_the_law(self):
        values = {
            1: [98, 100, 104],
            2: [99, 100, 101],
            4: [80, 100, 110],
        }  # the law is 100 everywhere
        elements = Elements(page("head", [], [panel(plot("MiB", values, CONSTANT))]))
        circles = elements.of_class("point")[1:]  # the first is the key's
        self.assertEqual(len(circles), 3)
        xs = [float(circle["cx"]) for circle in circles]
        self.assertAlmostEqual(
            xs[1] - xs[0], xs[2] - xs[1], delta=0.2
        )  # doublings, on a logarithmic axis
        law = elements.of_class("law")[-1]["d"]
        ends = [float(number) for number in re.findall(r"[\d.]+", law)]
        self.assertEqual((ends[0], ends[-2]), (xs[0], xs[2]))
        self.assertEqual({ends[1], ends[-1]}, {float(circle["cy"]) for circle in circles})
        spreads = [
            [float(n) for n in re.findall(r"[\d.]+", each["d"])]
            for each in elements.of_class("spread")[1:]
        ]
        for (_, low, *_), circle in zip(spreads, circles):
            self.assertGreater(low, float(circle["cy"]))  # pixels count downwards
        self.assertGreater(
            spreads[2][1] - float(circles[2]["cy"]), 5 * (spreads[1][1] - float(circles[1]["cy"]))
        )
        self.assertIn("stroke-dasharray", page("head", [], []).split(".law{")[1].split("}")[0])

    def test_a_point_off_the_law_is_drawn_off_it(self):
        drawn = Elements(page("head", [], [panel(plot("MiB", {1: [80.0], 2: [120.0]}, CONSTANT))]))
        above_or_below = [float(circle["cy"]) for circle in drawn.of_class("point")[1:]]
        law = {float(y) for y in re.findall(r" ([\d.]+)", drawn.of_class("law")[-1]["d"])}
        self.assertEqual(len(law), 1)
        self.assertTrue(above_or_below[0] > law.pop() > above_or_below[1])

    def test_says_how_far_each_point_is_from_the_law(self):
        made = plot("tokens/s", {1: [99.0], 2: [101.0], 4: [100.0]}, CONSTANT)
        self.assertEqual(
            [f"{point['deviation']:+.1f}" for point in made["points"]], ["-1.0", "+1.0", "+0.0"]
        )
        text = Elements(page("head", [], [panel(made)])).text
        self.assertIn("-1.0%", text)
        self.assertIn("Law: peak = m; m = 100 MiB (least squares)", text)
        self.assertIn("Took 12 s", text)

    def test_logarithmic_speeds_make_a_straight_line(self):
        law = Law("1 / n", (Term("t", "s", 1, lambda n: n),), shown=lambda _, v: 1 / v)
        drawn = page(
            "head",
            [],
            [panel(plot("tokens/s", {n: [1000 / n] for n in (1, 2, 4, 8)}, law, log_y=True))],
        )
        heights = [float(circle["cy"]) for circle in Elements(drawn).of_class("point")[1:]]
        steps = [b - a for a, b in zip(heights, heights[1:])]
        self.assertGreater(min(steps), 0)
        self.assertAlmostEqual(min(steps), max(steps), delta=0.2)

    def test_escapes_everything_that_is_given(self):
        bad = "<script>&\"'"
        table = Table()
        table.add(bad, bad, bad, [1.0], [2.0], 0.5)
        made = plot(bad, {1: [1.0], 2: [1.0]}, Law(bad, CONSTANT.terms))
        text = page(
            bad, table.rows, [panel(made, title=bad, x=bad, symbol=bad, about=bad, notes=[bad])]
        )
        self.assertNotIn("<script", text)
        self.assertNotIn(bad, text)
        elements = Elements(text)
        self.assertGreaterEqual(elements.text.count(bad), 9)
        self.assertIn(
            f"{bad} over {bad}, measured and expected",
            [attributes.get("aria-label") for _, attributes in elements.found],
        )

    def test_asks_nothing_of_the_network(self):
        table = Table()
        table.add_single("speed", "s", [1.0], 2)
        text = page("head", table.rows, [panel(plot("MiB", {1: [1.0], 2: [1.0]}, CONSTANT))])
        for request in ("http:", "https:", "//", "src=", "href=", "url(", "@import"):
            self.assertNotIn(request, text.replace("<!doctype", ""))
        tags = {tag for tag, _ in Elements(text).found}
        self.assertFalse(tags & {"script", "link", "img", "iframe", "object", "use", "image"}, tags)
        self.assertIn("default-src 'none'", text)

    def test_shows_the_paired_measures(self):
        table = Table()
        table.add("eval: tokens/s", "fairseq", "tokens/s", [620.0, 610.0], [310.0, 305.0], 1.5)
        table.add("eval: memory", "fairseq", "MiB", [900.0], [1000.0], 0.6, at_least=False)
        text = Elements(page("head", table.rows, [])).text
        for cell in (
            "eval: tokens/s",
            "615 tokens/s",
            "2.00 (2.00 to 2.00)",
            "≥ 1.5",
            "met",
            "≤ 0.6",
            "missed",
        ):
            self.assertIn(cell, text)

    def test_growth_names_all_its_measures(self):
        self.assertEqual(chosen_measures("growth,context,eval"), [*GROWTH, "eval"])


if __name__ == "__main__":
    unittest.main()
