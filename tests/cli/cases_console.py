"""Names with escape sequences. tests/cli/run.py checks the output of all cases for raw control
characters."""
import os
import pathlib
import shutil

from case import Case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
ESCAPE = "a\x1b[31mb"
SHOWN = "a\\x1b[31mb"
SEED = "{golden}/checkpoints/seed/checkpoint_last.pt"
SHORT = ["--tokens-per-sample", "128", "--batch-size", "2", "--max-samples", "1"]


def domain(folder):
    """Makes data/ESCAPE/{valid,test}_ESCAPE and a model with that name."""
    place = folder / "data" / ESCAPE
    place.mkdir(parents=True)
    for root in (folder / "data", place):
        shutil.copy(GOLDEN / "data-bin" / "dict.txt", root)
    for split in ("valid", "test"):
        for end in ("bin", "idx"):
            shutil.copy(
                GOLDEN / "data-bin" / "fortunes" / f"{split}_fortunes.{end}",
                place / f"{split}_{ESCAPE}.{end}",
            )
    os.symlink(GOLDEN / "checkpoints" / "seed" / "checkpoint_last.pt", folder / f"{ESCAPE}.pt")


def text(folder):
    (folder / f"{ESCAPE}.txt").write_text("one two\nthree\n")


def plan(folder):
    (folder / f"{ESCAPE}.plan").write_text(
        f"[run]\noutput = {ESCAPE}\n[data]\ndomains = a, b\nkey = {ESCAPE}\n"
    )


CASES = [
    Case(
        "eval-lm",
        [
            "btm",
            "eval-lm",
            "data/" + ESCAPE,
            "--path",
            ESCAPE + ".pt",
            "--gen-subset",
            "test_" + ESCAPE,
        ]
        + SHORT,
        setup=domain,
        stdout=["Perplexity"],
    ),
    Case(
        "eval-lm of what is not there",
        ["btm", "eval-lm", "data/" + ESCAPE, "--path", ESCAPE + ".pt", "--gen-subset", ESCAPE],
        1,
        setup=domain,
        stderr=[SHOWN],
    ),
    Case(
        "ensemble-eval",
        [
            "btm",
            "ensemble-eval",
            "data/" + ESCAPE,
            "--path",
            f"{ESCAPE}.pt:{ESCAPE}.pt",
            "--task",
            "language_modeling",
            "--target-eval",
            "test_" + ESCAPE,
            "--ensemble-type",
            "simple_average",
            "--no-score-cache",
        ]
        + SHORT,
        setup=domain,
        stdout=["ppl"],
    ),
    Case(
        "eval-matrix",
        [
            "btm",
            "eval-matrix",
            "data",
            f"{ESCAPE}={ESCAPE}.pt",
            "--domains",
            ESCAPE,
            "--resamples",
            "10",
        ]
        + SHORT,
        setup=domain,
        stdout=[SHOWN],
    ),
    Case(
        "preprocess",
        [
            "btm-convert",
            "preprocess",
            "--only-source",
            "--trainpref",
            ESCAPE + ".txt",
            "--destdir",
            "out" + ESCAPE,
        ],
        setup=text,
        stdout=["train"],
    ),
    Case("run", ["btm", "run", ESCAPE + ".plan"], 1, setup=plan, stderr=[SHOWN]),
    Case("run of what is not there", ["btm", "run", ESCAPE + ".plan"], 1, stderr=[SHOWN]),
    Case(
        "verify", ["btm-convert", "verify", "data"], setup=domain, stdout=[SHOWN, "0 with problems"]
    ),
    Case("inspect", ["btm-convert", "inspect", "data"], setup=domain, stdout=[SHOWN]),
    Case(
        "an output folder that cannot be",
        [
            "btm-convert",
            "preprocess",
            "--only-source",
            "--trainpref",
            ESCAPE + ".txt",
            "--destdir",
            "",
        ],
        2,
        setup=text,
        stderr=["--destdir is empty, expected a folder"],
    ),
]
