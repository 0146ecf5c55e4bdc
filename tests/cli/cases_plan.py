"""btm plan."""
import pathlib
import re

from case import Case

PLAN_MD = pathlib.Path(__file__).resolve().parents[2] / "btm/run/plan.md"


def has_every_key(example):
    """The keys are those of the table in plan.md."""
    keys = PLAN_MD.read_text().partition("## Keys")[2].partition("\n## ")[0]
    wanted = {
        key.strip()
        for row in re.findall(r"^\| [^|]+\| ([a-z_, ]+) \|", keys, re.MULTILINE)
        for key in row.split(",")
    } - {"key"}
    shown = set(re.findall(r"^(?:#-? )?([a-z_]+) =", example, re.MULTILINE))
    assert len(wanted) > 30 and shown == wanted, f"{shown ^ wanted}"


CASES = [
    Case("an example with every key", ["btm", "plan", "--example"], check_stdout=has_every_key),
    Case(
        "estimate",
        ["btm", "plan", "--estimate"],
        stdout=[
            "1,024",
            "GPU hours",
            "assumption",
            "1,313,644,544",
            "failures, waiting in queues, evaluation",
        ],
    ),
    Case(
        "another scale",
        [
            "btm",
            "plan",
            "--estimate",
            "--scale",
            "125M",
            "--experts",
            "8",
            "--more-experts",
            "8",
            "--tflops",
            "50",
        ],
        stdout=["50 TFLOP/s (given)", "12, 768, 50264"],
    ),
    Case("nothing asked for", ["btm", "plan"], 2, stderr=["expected --example or --estimate"]),
    Case(
        "unknown scale",
        ["btm", "plan", "--estimate", "--scale", "7B"],
        2,
        stderr=["'7B', expected 125M, 350M, 750M or 1.3B"],
    ),
    Case(
        "no speed",
        ["btm", "plan", "--estimate", "--tflops", "0"],
        2,
        stderr=["flag --tflops: '0', expected a number above 0"],
    ),
]
