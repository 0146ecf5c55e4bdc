#!/usr/bin/env python3
"""Kills btm train at random moments (a rank, or the process that started them) and continues each
time. The run must end with the same files and bits as an uninterrupted run. It saves after every
update, so that most kills hit a save.

  killed_saves.py --bin FOLDER dense|demix [--kills N] [--seed N]
"""
import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "golden"
RANKS, UPDATES = 3, 24
DEMIX = [
    "--desynchronize",
    "--domain-parallel",
    "--sync-type",
    "none",
    "--untie-parameters",
    "feedforward",
    "--task",
    "multidomain_language_modeling",
    "--criterion",
    "desynchronized_cross_entropy",
    "--train-domains",
    "fortunes,jargon,perl",
    "--eval-domains",
    "fortunes,jargon,perl",
]


def command(programs, kind, folder):
    return [
        str(programs / "btm"),
        "train",
        str(GOLDEN / "data-bin") if kind == "demix" else str(GOLDEN / "data-bin/fortunes"),
        "--arch",
        "transformer_lm_gpt3_small",
        "--decoder-layers",
        "2",
        "--decoder-embed-dim",
        "64",
        "--decoder-attention-heads",
        "4",
        "--decoder-ffn-embed-dim",
        "128",
        "--lr",
        "2e-3",
        "--lr-scheduler",
        "polynomial_decay",
        "--total-num-update",
        "60",
        "--tokens-per-sample",
        "64",
        "--batch-size",
        "1",
        "--dropout",
        "0.1",
        "--max-update",
        str(UPDATES),
        "--disable-validation",
        "--save-interval-updates",
        "1",
        "--keep-interval-updates",
        "2",
        "--no-epoch-checkpoints",
        "--log-format",
        "none",
        "--cpu",
        "--num-threads",
        "1",
        "--distributed-world-size",
        str(RANKS),
        "--save-dir",
        str(folder),
    ] + (DEMIX if kind == "demix" else [])


def contents(folder):
    """The tensors of every file. Its other entries depend on times."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        with zipfile.ZipFile(path) as archive:
            files[path.name] = [
                archive.read(name) for name in archive.namelist() if "/data/" in name
            ]
    return files


def ranks_of(process):
    return [
        int(pid)
        for pid in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        .read_text()
        .split()
    ]


def kill_one(process, wait):
    """Kills the process or one of its ranks after some time. Returns which, or None when the run
    ended before."""
    try:
        process.wait(timeout=wait)
        return None
    except subprocess.TimeoutExpired:
        pass
    try:
        ranks = ranks_of(process)
    except FileNotFoundError:
        return None
    victim = random.randrange(-1, RANKS)
    pid = process.pid if victim < 0 or victim >= len(ranks) else ranks[victim]
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    process.wait(timeout=120)
    return "the launcher" if pid == process.pid else f"rank {victim}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("kind", choices=["dense", "demix"])
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.randrange(1 << 30)
    random.seed(seed)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="btm-kills-") as temporary:
        folder = pathlib.Path(temporary)
        start = time.monotonic()
        subprocess.run(
            command(args.bin, args.kind, folder / "whole"), check=True, stdout=subprocess.DEVNULL
        )
        longest = time.monotonic() - start
        expected = contents(folder / "whole")
        kills = runs = marked = 0
        while kills < args.kills:
            runs += 1
            run = folder / f"run{runs}"
            while True:
                process = subprocess.Popen(
                    command(args.bin, args.kind, run),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                wait = random.uniform(0, longest) if kills < args.kills else 600
                victim = kill_one(process, wait)
                errors = process.stderr.read()
                process.stderr.close()
                if victim is None:
                    if process.returncode != 0:
                        sys.exit(
                            f"after {kills} kills (seed {seed}): status {process.returncode}: "
                            f"{errors}"
                        )
                    break
                kills += 1
                marked += (run / "checkpoint.commit").exists()
            found = contents(run)
            if found != expected:
                different = sorted(
                    name
                    for name in found.keys() | expected.keys()
                    if found.get(name) != expected.get(name)
                )
                sys.exit(
                    f"after {kills} kills (seed {seed}): other files or bits: "
                    f"{', '.join(different)}"
                )
        print(
            f"{args.kind}: {kills} kills in {runs} runs, {marked} of them between the first and "
            f"the last rename: the bits of the uninterrupted run"
        )


if __name__ == "__main__":
    main()
