#!/usr/bin/env python3
"""Types command lines with tabs into real shells that have read the programs' completions. Shells
that are not installed are left out, and said."""
import argparse
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

# What is typed, and what must follow it. A second tab lists the choices.
TYPED = [
    ("btm eval-l\t", "btm eval-lm "),
    ("btm eval-lm --pat\t", "--path"),
    ("btm train --patienc\t", "--patience"),
    ("btm eval-lm --log-format \t\t", "json +none +simple +tqdm"),
    ("btm eval-lm --log-format=js\t", "--log-format=json"),
    ("btm exper\tad\t --fro\t", "expert +add +--from"),
    ("btm cluster tra\t --num\t", "cluster train +--num-clusters"),
    ("btm-convert prepro\t--srcd\t", "preprocess +--srcdict"),
    ("btm-convert checkpoint --dtype b\t", "--dtype bf16"),
    ("btm eval-lm only_on\t", "only_one_file.txt"),
]
SETUP = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


def read(terminal, quiet):
    """What comes until nothing has come for so many seconds."""
    seen, end = b"", time.monotonic() + quiet
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.05)[0]:
            continue
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            break
        end = time.monotonic() + quiet
    return seen.decode(errors="replace")


def read_until(terminal, pattern, seconds=30.0):
    """What comes until the pattern is seen; a busy machine may take its time."""
    seen, end = "", time.monotonic() + seconds
    while not re.search(pattern, seen) and time.monotonic() < end:
        seen += read(terminal, 0.2)
    return seen


def without_controls(text):
    return re.sub(r"\x1b\[[0-9?]*[a-zA-Z]|\r| \x08", "", text)


def try_shell(shell, scripts, programs, folder):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update({"TERM": "dumb", "PS1": "$ ", "PATH": f"{programs}:{os.environ['PATH']}"})
        os.execvp(SETUP[shell][0], SETUP[shell])
    read(terminal, 0.5)
    start = "autoload -U compinit; compinit -u -D; " if shell == "zsh" else ""
    reading = "; ".join(f"source {script}" for script in scripts)
    os.write(terminal, f"{start}{reading}; echo rea''dy\n".encode())
    assert "ready" in read_until(terminal, "ready\r?\n"), shell
    for typed, wanted in TYPED:
        seen = ""
        for key in re.findall("[^\t]+\t*|\t+", typed):
            os.write(terminal, key.encode())
            seen += read(terminal, 0.3)
        plain = without_controls(seen)
        if not re.search(wanted, plain):
            plain += without_controls(read_until(terminal, wanted, 10))
        assert re.search(wanted, plain), f"{shell}: {typed!r} gave {plain!r}"
        os.write(terminal, b"\x15")  # erases the line
        read(terminal, 0.1)
    os.close(terminal)
    os.waitpid(pid, 0)
    print(f"{shell}: {len(TYPED)} lines completed")


def try_fish(scripts, programs, folder):
    reading = "; ".join(f"source {script}" for script in scripts)
    for typed, wanted in TYPED:
        line = typed.replace("\t", "")
        if typed.count("\t") != 1 or wanted.startswith("only"):
            continue
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"{reading}; complete -C {line!r}"],
            cwd=folder,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder)},
            stdout=subprocess.PIPE,
            check=True,
        )
        last = wanted.split()[-1]
        assert last in done.stdout.decode(), f"fish: {line!r} gave {done.stdout.decode()!r}"
    print("fish: completed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    programs = parser.parse_args().bin.resolve()
    with tempfile.TemporaryDirectory(prefix="btm-completions-") as name:
        folder = pathlib.Path(name)
        (folder / "only_one_file.txt").write_text("")
        for shell in ("bash", "zsh", "fish"):
            scripts = []
            for program in ("btm", "btm-convert"):
                scripts.append(folder / f".{program}.{shell}")
                subprocess.run(
                    [str(programs / program), "completion", shell, "-o", str(scripts[-1])],
                    check=True,
                )
            if shutil.which(shell) is None:
                print(f"{shell}: not installed")
            elif shell == "fish":
                try_fish(scripts, programs, folder)
            else:
                try_shell(shell, scripts, programs, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
