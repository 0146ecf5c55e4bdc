#!/usr/bin/env python3
"""Compares btm with the reference and measures its growth. Writes Markdown, JSON and an HTML
report. See scripts/bench --help.

Paired benchmarks run both programs in turns with the same number of threads. Ratios are those of
paired runs.
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
import time

import benches
from growth import GROWTH
from measure import Table
from page import page
from text_bench import TEXT

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MEASURES = {**benches.BENCHES, **TEXT, **GROWTH}
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # that change how btm computes


def machine():
    facts = {}
    for line in open("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    model = facts.get("model name", "")
    flags = [name for name in FEATURES if name in facts.get("flags", "").split()]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return (
        f"{model or platform.processor()}, {len(os.sched_getaffinity(0))} cores, "
        f"{pages / 2**30:.0f} GiB, {' '.join(flags) or 'no avx2'}"
    )


def versions(setting):
    """Both sides' versions."""
    names = []
    program = setting.root / setting.build / "bin/btm"
    if program.exists():
        shown = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        names += [line.strip() for line in shown.splitlines()[:2]]
    names += [benches.label(venv) for venv in setting.fairseq]
    for folder in filter(None, setting.transformers.split(":")):
        names.append(pathlib.Path(folder).name.replace("-", " ", 1))
    return "; ".join(names)


def chosen_measures(only):
    """The names in `only`, each once. "growth" means all names of GROWTH."""
    names = [name for part in only.split(",") for name in (GROWTH if part == "growth" else [part])]
    return list(dict.fromkeys(names))


def write_whole(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def measure(chosen, setting, table):
    """The seconds of each benchmark, including its inputs."""
    took = {}
    for name in chosen:
        print(f"== {name}: {MEASURES[name].__doc__.splitlines()[0]}", flush=True)
        start = time.monotonic()
        MEASURES[name](setting, table)
        took[name] = time.monotonic() - start
        print(f"({name} took {took[name]:.0f} s)", flush=True)
    for panel in table.growth:
        panel["seconds"] = took[panel["name"]]
    return took


def main():
    names = list(MEASURES)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        help=f"benchmarks, separated by commas, of {', '.join(names)}; growth: {', '.join(GROWTH)}",
    )
    parser.add_argument(
        "--fairseq",
        action="append",
        default=[],
        type=pathlib.Path,
        help="an environment with fairseq (of several, the fastest counts)",
    )
    parser.add_argument(
        "--tokenizers", type=pathlib.Path, help="the environment of scripts/tokenizers-env"
    )
    parser.add_argument(
        "--transformers", default="", help="the folders of scripts/transformers-env, joined by ':'"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small shapes, to test the benchmark itself: the numbers have no meaning",
    )
    parser.add_argument(
        "--work",
        type=pathlib.Path,
        help="folder for inputs, which is kept (default: a temporary one)",
    )
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench-out")
    args = parser.parse_args()
    chosen = (
        chosen_measures(args.only)
        if args.only
        else [name for name in names if not name.startswith("gpu")]
    )
    for name in chosen:
        if name not in MEASURES:
            parser.error(f"--only {name}, expected some of {', '.join(names)} or growth")
    args.out.mkdir(parents=True, exist_ok=True)
    work = args.work or pathlib.Path(tempfile.mkdtemp(prefix="btm-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    table = Table()
    setting = benches.Setting(
        root=ROOT,
        work=work,
        fairseq=args.fairseq,
        tokenizers=args.tokenizers,
        runs=args.runs,
        threads=args.threads,
        quick=args.quick,
        transformers=args.transformers,
    )
    try:
        took = measure(chosen, setting, table)
    finally:
        if args.work is None:
            shutil.rmtree(work, ignore_errors=True)
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    head = (
        f"{datetime.date.today()}, {machine()}, {args.threads} threads, {args.runs} runs, "
        f"commit {commit}; {versions(setting)}"
    )
    report = {"measured": head, "took_seconds": took, "rows": table.rows, "growth": table.growth}
    write_whole(args.out / "bench.md", f"{head}\n\n{table.markdown()}")
    write_whole(args.out / "bench.json", json.dumps(report, indent=1) + "\n")
    write_whole(args.out / "bench.html", page(head, table.rows, table.growth))
    print(
        f"\n{head}\n\n{table.markdown()}\nAlso in {args.out}/bench.md, bench.json and bench.html",
        flush=True,
    )
    missed = [row["measure"] for row in table.rows if row["met"] is False]
    if missed:
        print(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    sys.exit(main())
