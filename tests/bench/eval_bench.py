#!/usr/bin/env python3
"""Times `btm eval-lm`, and fairseq-eval-lm beside it when there is one, in turns; prints medians and ratios.

    tests/bench/eval_bench.py --path CKPT --data DATA --subset test [--fairseq VENV] [--runs 3] [-- EXTRA FLAGS]

Tokens/s are those the programs report (evaluation only); seconds and peak memory are of the whole process.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def measure(command):
    """One run: loss, tokens/s, wall seconds and peak resident MiB."""
    with tempfile.TemporaryFile("w+") as output:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    loss = re.search(r"Loss \(base 2\): ([\d.]+)", text)
    rate = re.search(r"\(([\d.]+) tokens/s\)", text)
    if process.returncode != 0 or not loss or not rate:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{text[-2000:]}")
    return {"loss": float(loss[1]), "tokens_per_s": float(rate[1]), "seconds": seconds, "peak_mib": usage.ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--btm", default=str(ROOT / "build/bin/btm"))
    parser.add_argument("--fairseq", help="the virtual environment of scripts/check-against-fairseq")
    parser.add_argument("--path", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--subset", default="test")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("extra", nargs="*", metavar="-- FLAGS", help="flags for both programs")
    args = parser.parse_args()
    flags = [args.data, "--path", args.path, "--gen-subset", args.subset, "--sample-break-mode", "none", *args.extra]
    programs = {"btm": [args.btm, "eval-lm", *flags]}
    if args.fairseq:
        programs["fairseq"] = [f"{args.fairseq}/bin/fairseq-eval-lm", *flags]
    runs = {name: [] for name in programs}
    for _ in range(args.runs):
        for name, command in programs.items():
            runs[name].append(measure(command))
    medians = {name: {key: statistics.median(r[key] for r in rows) for key in rows[0]} for name, rows in runs.items()}
    if "fairseq" in medians:
        medians["ratio btm/fairseq"] = {key: medians["btm"][key] / medians["fairseq"][key] for key in medians["btm"]}
    if args.json:
        print(json.dumps(medians, indent=1))
        return
    print(f"{'median of ' + str(args.runs):20}{'loss':>10}{'tokens/s':>12}{'seconds':>10}{'peak MiB':>10}")
    for name, row in medians.items():
        print(f"{name:20}{row['loss']:10.4f}{row['tokens_per_s']:12.2f}{row['seconds']:10.2f}{row['peak_mib']:10.2f}")


if __name__ == "__main__":
    main()
