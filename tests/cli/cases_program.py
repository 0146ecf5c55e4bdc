"""Both programs before any command runs: help, version, mistyped commands, an output that cannot be
written."""
from case import Case

CASES = []
for program, command, mistyped in (
    ("btm", "eval-lm", "evel-lm"),
    ("btm-convert", "inspect", "inspekt"),
):
    CASES += [
        Case(
            f"{program} alone shows its commands",
            [program],
            stdout=[f"usage: {program} COMMAND", command],
        ),
        Case(
            f"{program} --help", [program, "--help"], stdout=[f"usage: {program} COMMAND", command]
        ),
        Case(f"{program} -h", [program, "-h"], stdout=[f"usage: {program} COMMAND"]),
        Case(f"{program} --version", [program, "--version"], stdout=[f"{program} 0."]),
        Case(
            f"{program} help COMMAND",
            [program, "help", command],
            stdout=[f"usage: {program} {command}"],
        ),
        Case(
            f"{program} COMMAND --help",
            [program, command, "--help"],
            stdout=[f"usage: {program} {command}"],
        ),
        Case(
            f"{program} COMMAND -h among other arguments",
            [program, command, "a", "-h"],
            stdout=[f"usage: {program} {command}"],
        ),
        Case(
            f"{program} with a mistyped command",
            [program, mistyped],
            2,
            stderr=[f"{program}: error: unknown command '{mistyped}', did you mean {command}?"],
        ),
        Case(
            f"{program} with a command that resembles none",
            [program, "xyzzyplugh"],
            2,
            stderr=["unknown command 'xyzzyplugh' (see --help)"],
        ),
        Case(
            f"{program} with control characters for a command",
            [program, "\x1b[31mred"],
            2,
            stderr=["'\\x1b[31mred'"],
        ),
        Case(
            f"{program} --help to a full disk",
            [program, "--help"],
            1,
            stdout_to="/dev/full",
            stderr=[f"{program}: error: standard output: cannot write"],
        ),
        Case(
            f"{program} --version to a full disk",
            [program, "--version"],
            1,
            stdout_to="/dev/full",
            stderr=[f"{program}: error: standard output: cannot write"],
        ),
        Case(
            f"{program} COMMAND --help to a full disk",
            [program, command, "--help"],
            1,
            stdout_to="/dev/full",
            stderr=[f"{program} {command}: error: standard output: cannot write"],
        ),
    ]
