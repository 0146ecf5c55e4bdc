"""Finds and runs the program btm. The scripts beside this file have the release's names."""
import os
import pathlib
import shutil
import sys
from typing import List


def find_btm() -> str:
    """$BTM when it is set, else the program in build/, beside the scripts, or on the PATH."""
    here = pathlib.Path(__file__).resolve().parent
    candidates = [
        here / "../../build/bin/btm",
        here / "../../../bin/btm",
        here / "../../bin/btm",
        here / "../btm",
    ]
    if os.environ.get("BTM"):
        candidates = [pathlib.Path(os.environ["BTM"])]
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    found = None if os.environ.get("BTM") else shutil.which("btm")
    if found is None:
        name = pathlib.Path(sys.argv[0]).name
        print(
            f"{name}: error: found no program btm (built in build/bin, installed, or on the PATH; "
            f"or set BTM to it)",
            file=sys.stderr,
        )
        sys.exit(1)
    return found


def become(command: str, arguments: List[str]) -> None:
    sys.stdout.flush()
    program = find_btm()
    os.execv(program, [program, command, *arguments])
