"""Runs commands in turns and compares their figures. Needs only the standard library."""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time


class Run:
    """One finished process: its wall seconds, its peak resident MiB (of the largest process) and
    its output."""

    def __init__(self, command, env=None):
        with tempfile.TemporaryFile("w+") as output:
            start = time.monotonic()
            process = subprocess.Popen(
                [str(part) for part in command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )
            _, status, usage = os.wait4(process.pid, 0)
            self.seconds = time.monotonic() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            self.peak_mib = usage.ru_maxrss / 1024
            output.seek(0)
            self.text = output.read()
        if process.returncode != 0:
            sys.exit(
                f"{' '.join(map(str, command))} ended with "
                f"{process.returncode}:\n{self.text[-2000:]}"
            )

    def number(self, pattern):
        """The last number that the pattern's group finds in the output, without thousands
        separators."""
        found = re.findall(pattern, self.text)
        if not found:
            sys.exit(f"no {pattern!r} in the output:\n{self.text[-2000:]}")
        return float(found[-1].replace(",", ""))


def in_turns(programs, runs, read, warm_up=None):
    """{name: {figure: [a value per run]}}. `programs` is {name: a callable giving a Run};
    `read(name, run)` its figures.

    The order is A, B, A, B, so that disturbances of the machine affect both.
    """
    if warm_up is not None:
        for start in programs.values():
            start()
    values = {name: {} for name in programs}
    for _ in range(runs):
        for name, start in programs.items():
            for figure, value in read(name, start()).items():
                values[name].setdefault(figure, []).append(value)
    return values


def ratios(ours, theirs):
    """The ratio of each pair of runs."""
    return [a / b for a, b in zip(ours, theirs)]


def summary(values):
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "runs": len(values),
    }


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


class Table:
    """The rows of benchmarks (btm, reference, their ratio and the target), and the panels of
    growth."""

    def __init__(self):
        self.rows = []
        self.growth = []  # panels of growth.py

    def add(self, measure, against, unit, ours, theirs, target, at_least=True, ratio=None):
        """`ours` and `theirs` are values of paired runs; `target` bounds ours / theirs (None: no
        target)."""
        ratio = summary(ratio if ratio is not None else ratios(ours, theirs))
        met = (
            None
            if target is None
            else (ratio["median"] >= target if at_least else ratio["median"] <= target)
        )
        row = {
            "measure": measure,
            "against": against,
            "unit": unit,
            "ours": summary(ours),
            "theirs": summary(theirs),
            "ratio": ratio,
            "target": target,
            "at_least": at_least,
            "met": met,
        }
        self.rows.append(row)
        print(self.line(row), flush=True)

    def add_single(self, measure, unit, values, target=None):
        """A figure of btm alone. A target is an upper bound."""
        figure = summary(values)
        row = {
            "measure": measure,
            "against": None,
            "unit": unit,
            "ours": figure,
            "theirs": None,
            "ratio": None,
            "target": target,
            "at_least": False,
            "met": None if target is None else figure["median"] <= target,
        }
        self.rows.append(row)
        print(self.line(row), flush=True)

    def add_growth(self, panel):
        self.growth.append(panel)
        for line in self.growth_lines(panel):
            print(line, flush=True)

    @staticmethod
    def figure(value, unit):
        return f"{number(value)} {unit}"

    @classmethod
    def cells(cls, row):
        ours, unit = row["ours"], row["unit"]
        cells = [row["measure"], cls.figure(ours["median"], unit)]
        if row["ratio"] is None:
            cells += ["", ""]
        else:
            ratio = row["ratio"]
            cells += [
                f"{cls.figure(row['theirs']['median'], unit)} ({row['against']})",
                f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})",
            ]
        if row["target"] is None:
            cells += ["", ""]
        else:
            cells += [
                f"{'≥' if row['at_least'] else '≤'} {row['target']:g}",
                "met" if row["met"] else "missed",
            ]
        return cells

    @classmethod
    def line(cls, row):
        return "| " + " | ".join(cls.cells(row)) + " |"

    @staticmethod
    def growth_lines(panel):
        """A row per plot of the panel: the median of each point, and its deviation from the law."""
        for plot in panel["plots"]:
            points = ", ".join(
                f"{number(p['x'])}: {number(p['median'])} ({p['deviation']:+.1f}%)"
                for p in plot["points"]
            )
            yield (
                f"| {panel['name']}: {plot['unit']} over {panel['x']} | {points} | "
                f"{plot['law']} |"
            )

    def markdown(self):
        parts = []
        if self.rows:
            parts += [
                "| measure | btm | other side | ratio (spread) | target | |",
                "|---|--:|--:|--:|--:|---|",
                *map(self.line, self.rows),
                "",
            ]
        if self.growth:
            parts += ["| growth | measured (off the law) | law |", "|---|---|---|"]
            parts += [line for panel in self.growth for line in self.growth_lines(panel)] + [""]
        return "\n".join(parts)
