#!/usr/bin/env python3
"""Runs both programs on a terminal: widths, bars, TERM=dumb."""
import argparse
import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
SEED = str(GOLDEN / "checkpoints" / "seed" / "checkpoint_last.pt")
EVAL = ["eval-lm", str(GOLDEN / "data-bin" / "fortunes"), "--path", SEED, "--tokens-per-sample"]
EVAL += ["128", "--gen-subset", "test_fortunes", "--batch-size", "2", "--max-samples", "40"]
TRAIN = ["train", str(GOLDEN / "data-bin" / "fortunes"), "--arch", "transformer_lm"]
TRAIN += "--decoder-layers 1 --decoder-embed-dim 16 --decoder-attention-heads 1".split()
TRAIN += "--decoder-ffn-embed-dim 16 --tokens-per-sample 64 --batch-size 1 --lr 1e-3".split()
TRAIN += "--optimizer adam --max-update 3 --no-save --disable-validation --log-interval 1".split()


def on_terminal(command, columns, errors=None, **variables):
    """What the command writes to a terminal of so many columns, standard error included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment.update({"TERM": "xterm", "OMP_NUM_THREADS": "1"}, **variables)
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=errors or theirs, env=environment
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    process.wait()
    return seen.decode().replace("\r\n", "\n")


def widest(text):
    return max(len(line) for line in text.split("\n"))


def check_widths(programs):
    for program in ("btm", "btm-convert"):
        path = str(programs / program)
        for arguments in (["--help"], ["train", "--help"], ["preprocess", "--help"]):
            if program == "btm-convert" and arguments[0] == "train":
                continue
            if program == "btm" and arguments[0] == "preprocess":
                continue
            command = [path] + arguments
            for columns, most in ((80, 80), (64, 64), (200, 100)):
                width = widest(on_terminal(command, columns))
                assert most - 20 <= width <= most, (command, columns, width)
            assert widest(on_terminal(command, 200, COLUMNS="70")) <= 70, command


def check_tables(programs):
    forest = [str(programs / "btm"), "forest", str(GOLDEN / "checkpoints")]
    quiet = subprocess.DEVNULL
    whole = on_terminal(forest, 300, errors=quiet)
    narrow = on_terminal(forest, 60, errors=quiet)
    assert whole.count("name ") == 1 and narrow.count("name ") > 1, (whole, narrow)
    assert widest(narrow) <= 60, narrow
    piped = subprocess.run(forest, stdout=subprocess.PIPE, stderr=quiet, check=True).stdout.decode()
    assert piped == whole, piped


def check_bars(programs):
    command = [str(programs / "btm")] + EVAL
    bar = on_terminal(command, 80)
    assert "\r\x1b[K" in bar and "eval-lm |" in bar, bar
    dumb = on_terminal(command + ["--log-interval", "10"], 80, TERM="dumb")
    assert "\r" not in dumb and "\x1b" not in dumb, dumb
    assert re.search(r"^eval-lm: 10 / \d+ loss=", dumb, re.M), dumb


def check_training(programs):
    command = [str(programs / "btm")] + TRAIN
    with tempfile.TemporaryDirectory(prefix="btm-terminal-") as folder:
        bar = on_terminal(command + ["--save-dir", folder], 120)
        dumb = on_terminal(command + ["--save-dir", folder], 120, TERM="dumb")
    assert " 3/3 [" in bar, bar
    assert "\r" not in dumb and re.search(r"epoch 001: +1 / \d", dumb), dumb


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    programs = parser.parse_args().bin.resolve()
    for check in (check_widths, check_tables, check_bars, check_training):
        check(programs)
        print(f"{check.__name__}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
