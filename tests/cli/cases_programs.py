"""Each of the two programs points to the other for commands that only the other has."""
from case import Case

BTM = (
    "average branch cache cluster doctor ensemble-eval eval-lm eval-matrix expert forest generate "
    "mix plan release routing run score serve train weigh"
).split()
CONVERT = "checkpoint data-bin inspect preprocess repair train-sentencepiece verify".split()


def names_the_other(program, commands):
    """In lines as long as the terminal's."""
    wanted = f"The program {program} has these commands: {', '.join(commands)}."

    def check(text):
        assert wanted in " ".join(text.split()), text

    return check


CASES = [
    Case(
        "btm names the commands of btm-convert",
        ["btm", "--help"],
        stdout=[f"  {name} " for name in BTM],
        check_stdout=names_the_other("btm-convert", CONVERT),
    ),
    Case(
        "btm-convert names the commands of btm",
        ["btm-convert", "--help"],
        stdout=[f"  {name} " for name in CONVERT],
        check_stdout=names_the_other("btm", BTM),
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
