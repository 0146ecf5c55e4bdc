#!/usr/bin/env python3
"""A forest --without an expert gives the bytes of a forest that never held it: what is printed, the
files that are written, and the scores that are cached.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from small_forest import BATCHES, GOLDEN, MACHINE, make_forest  # noqa: E402

OUT = "jargon"
CHOICE = ["--without", OUT]
FOREST = "forest"
TEXT = ["--data", str(GOLDEN / "data-bin" / "perl"), "--bpe", "none", *MACHINE]
DATA = str(GOLDEN / "data-bin" / "fortunes")
EVAL = ["--target-eval", "valid_fortunes", "--max-samples", "1", "--score-cache", "cache", *BATCHES]
# name: the words before the forest, and those after it; {text} is a file of pieces.
COMMANDS = {
    "ensemble-eval": (
        ["ensemble-eval", DATA, "--path"],
        [*EVAL, *MACHINE, "--ensemble-type", "updating_prior", "--results-path", "out.jsonl"],
    ),
    "ensemble-eval --tune": (
        ["ensemble-eval", DATA, "--path"],
        [*EVAL, *MACHINE, "--tune", "half", "--out", "out"],
    ),
    "score": (["score"], ["{text}", *TEXT, "--ensemble-type", "updating_prior"]),
    "weigh": (["weigh"], ["{text}", *TEXT, "--out", "out"]),
    "generate": (
        ["generate"],
        ["--file", "{text}", *TEXT, "--max-len-b", "3", "--ensemble-type", "uniform_prior"],
    ),
    "average": (["average", "--model-files"], ["--output-dir", "out", "--num-threads", "1"]),
    "average --tune": (
        ["average", "--model-files"],
        ["--output-dir", "out", "--tune", DATA, "--tune-evaluations", "3", "--max-samples", "1"]
        + ["--num-threads", "1", "--cpu", *BATCHES],
    ),
}


def files(folder):
    """The content of every file but the models; digests know their models by path and time."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and FOREST not in path.parts and path.suffix != ".digest"
    }


def without_time(text):
    """The output without the seconds that a command took, and its speed."""
    lines = [line for line in text.splitlines() if "tokens/s" not in line]
    return [line.rsplit(",", 1)[0] if line.endswith(" s") else line for line in lines]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, help="the folder with the programs")
    binary = pathlib.Path(parser.parse_args().bin).resolve() / "btm"
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        text = folder / "text.txt"
        lines = (GOLDEN / "corpus/perl/test.spm").read_text().splitlines()
        text.write_text(
            "\n".join([line for line in lines if 3 < len(line.split()) < 30][:3]) + "\n"
        )
        for name, (before, after) in COMMANDS.items():
            results = []
            for place, choice in (("whole", CHOICE), ("never", [])):
                work = folder / place
                work.mkdir()
                make_forest(work / FOREST)
                if place == "never":
                    shutil.rmtree(work / FOREST / OUT)
                words = [word.replace("{text}", str(text)) for word in after]
                run = subprocess.run(
                    [str(binary), *before, FOREST, *words, *choice],
                    cwd=work,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                if run.returncode != 0:
                    problems.append(f"{name} {choice}: {run.returncode}: {run.stderr[-500:]}")
                results.append((without_time(run.stdout), files(work)))
                shutil.rmtree(work)
            (printed, written), (expected, others) = results
            if printed != expected:
                problems.append(f"{name}: printed {printed}, expected {expected}")
            if written != others:
                different = [
                    key for key in {**written, **others} if written.get(key) != others.get(key)
                ]
                problems.append(f"{name}: other files: {different}")
    print("\n".join(problems) or f"{len(COMMANDS)} commands leave an expert out without a trace")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
