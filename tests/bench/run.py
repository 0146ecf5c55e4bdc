#!/usr/bin/env python3
"""Measures btm beside the reference and writes a Markdown table and JSON; called by scripts/bench, which says more.

Each measure runs both sides in turns with the same number of threads. Ratios are of paired runs.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

import benches
from measure import Table

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def machine():
    model = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{model or platform.processor()}, {len(os.sched_getaffinity(0))} cores, {pages / 2**30:.0f} GiB"


def main():
    names = list(benches.BENCHES)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"comma-separated measures of {', '.join(names)}")
    parser.add_argument("--fairseq", action="append", default=[], type=pathlib.Path, help="an environment with fairseq; the fastest counts")
    parser.add_argument("--tokenizers", type=pathlib.Path, help="the environment of scripts/tokenizers-env")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="small shapes: whether the benchmark works, not what is measured")
    parser.add_argument("--work", type=pathlib.Path, help="folder for inputs, kept (default: a temporary one)")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench-out")
    args = parser.parse_args()
    chosen = args.only.split(",") if args.only else names
    for name in chosen:
        if name not in benches.BENCHES:
            parser.error(f"--only {name}, expected some of {', '.join(names)}")
    args.out.mkdir(parents=True, exist_ok=True)
    work = args.work or pathlib.Path(tempfile.mkdtemp(prefix="btm-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    table = Table()
    setting = benches.Setting(root=ROOT, work=work, fairseq=args.fairseq, tokenizers=args.tokenizers, runs=args.runs, threads=args.threads, quick=args.quick)
    try:
        for name in chosen:
            print(f"== {name}: {benches.BENCHES[name].__doc__.splitlines()[0]}", flush=True)
            benches.BENCHES[name](setting, table)
    finally:
        if args.work is None:
            shutil.rmtree(work, ignore_errors=True)
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    head = f"{datetime.date.today()}, {machine()}, {args.threads} threads, {args.runs} runs, commit {commit}"
    (args.out / "bench.md").write_text(f"{head}\n\n{table.markdown()}")
    (args.out / "bench.json").write_text(json.dumps({"measured": head, "rows": table.rows}, indent=1) + "\n")
    print(f"\n{head}\n\n{table.markdown()}\nAlso in {args.out}/bench.md and bench.json", flush=True)
    missed = [row["measure"] for row in table.rows if row["met"] is False]
    if missed:
        print(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    sys.exit(main())
