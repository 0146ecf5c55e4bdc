"""The two programs beside each other: what one does not have, the other may."""
from case import Case

BTM = (
    "average branch cluster ensemble-eval eval-lm eval-matrix expert forest plan release run "
    "train"
).split()
CONVERT = "checkpoint data-bin inspect preprocess repair train-sentencepiece verify".split()

CASES = [
    Case(
        "btm names its sister",
        ["btm", "--help"],
        stdout=[f"  {name} " for name in BTM]
        + ["Its sister btm-convert has: " + ", ".join(CONVERT) + "."],
    ),
    Case(
        "btm-convert names its sister",
        ["btm-convert", "--help"],
        stdout=[f"  {name} " for name in CONVERT] + ["Its sister btm has: " + ", ".join(BTM) + "."],
    ),
    *(
        Case(
            f"btm {name}",
            ["btm", name],
            2,
            stderr=[
                f"unknown command '{name}', it is a command of btm-convert: btm-convert {name}"
            ],
        )
        for name in CONVERT
    ),
    *(
        Case(
            f"btm-convert {name}",
            ["btm-convert", name],
            2,
            stderr=[f"unknown command '{name}', it is a command of btm: btm {name}"],
        )
        for name in BTM
    ),
    Case(
        "a near name of its own",
        ["btm", "trian"],
        2,
        stderr=["unknown command 'trian', did you mean train?"],
    ),
    Case(
        "a near name of the other",
        ["btm", "inspekt"],
        2,
        stderr=["unknown command 'inspekt', did you mean btm-convert inspect?"],
    ),
    Case(
        "a near name of nothing",
        ["btm", "zebracrossing"],
        2,
        stderr=["unknown command 'zebracrossing' (see --help)"],
    ),
    Case("no command", ["btm", ""], 2, stderr=["unknown command ''"]),
]
