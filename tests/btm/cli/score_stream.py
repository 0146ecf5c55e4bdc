#!/usr/bin/env python3
"""btm score on a pipe: results come before the input ends; a closed pipe and Ctrl-C end it.

    score_stream.py --bin FOLDER
"""
import argparse
import json
import pathlib
import signal
import subprocess
import sys

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "golden"
SECONDS = 60


def start(programs):
    command = [programs / "btm", "score", GOLDEN / "checkpoints/seed/checkpoint_last.pt"]
    command += ["--data", GOLDEN / "data-bin", "--format", "jsonl", "--num-threads", "1"]
    command += ["--sentencepiece-model", GOLDEN / "corpus/spm.model"]
    return subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def send(process, text):
    process.stdin.write(text)
    process.stdin.flush()


def check(what, holds):
    if not holds:
        sys.exit(f"score_stream.py: {what}")
    print(f"ok: {what}", flush=True)


def answers_each_line(programs):
    process = start(programs)
    for text in ("the first line", "the second line"):
        send(process, text + "\n")
        answer = json.loads(process.stdout.readline())  # the input is still open
        check(f"'{text}' is answered at once", answer["text"] == text and "score" in answer)
    send(process, "no end of line")
    out, err = process.communicate(timeout=SECONDS)
    check("the last line needs no end", json.loads(out)["text"] == "no end of line")
    check("the status is 0", process.returncode == 0)
    check("one line sums up", err.count("\n") == 1 and "3 texts" in err)


def ends_with_a_closed_pipe(programs):
    process = start(programs)
    process.stdout.close()
    try:
        for _ in range(200):
            send(process, "a line\n" * 100)
    except BrokenPipeError:
        pass
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.wait(timeout=SECONDS)
    check("SIGPIPE ends it", process.returncode == -signal.SIGPIPE)
    check("without a word", process.stderr.read() == "")


def ends_with_ctrl_c(programs):
    process = start(programs)
    send(process, "a line\n")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=SECONDS)
    check("SIGINT ends it", process.returncode == -signal.SIGINT)
    check("without a word", process.stderr.read() == "")


def main():
    # A shell starts background jobs with SIGINT ignored, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    programs = parser.parse_args().bin.resolve()
    answers_each_line(programs)
    ends_with_a_closed_pipe(programs)
    ends_with_ctrl_c(programs)


if __name__ == "__main__":
    main()
