"""Compares training runs of btm with fairseq-train, for check_against_fairseq.py.

`check(what, ok, detail)` reports a result.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
BIN = ROOT / "build" / "bin"

TRAIN_FLAGS = [
    "--task",
    "language_modeling",
    "--arch",
    "transformer_lm_gpt3_small",
    "--decoder-layers",
    "2",
    "--decoder-embed-dim",
    "64",
    "--decoder-attention-heads",
    "4",
    "--dropout",
    "0",
    "--lr",
    "2e-3",
    "--lr-scheduler",
    "polynomial_decay",
    "--optimizer",
    "adam",
    "--adam-betas",
    "(0.9,0.95)",
    "--adam-eps",
    "10e-8",
    "--weight-decay",
    "0.1",
    "--clip-norm",
    "0.1",
    "--tokens-per-sample",
    "128",
    "--seed",
    "1",
    "--log-format",
    "json",
    "--log-interval",
    "1",
    "--no-epoch-checkpoints",
    "--cpu",
    "--disable-validation",
    "--save-interval-updates",
    "10",
]
PAIRS = ["--max-sentences", "2", "--required-batch-size-multiple", "1", "--update-freq", "2"]
SINGLE_FLAGS = [
    *PAIRS,
    "--decoder-ffn-embed-dim",
    "256",
    "--total-num-update",
    "60",
    "--warmup-updates",
    "5",
]
HALF_FLAGS = [
    *PAIRS,
    "--decoder-ffn-embed-dim",
    "128",
    "--total-num-update",
    "40",
    "--warmup-updates",
    "4",
]


def train(program, data, save_dir, flags, common=None):
    """The rows of the log by number of updates. `common` takes the place of TRAIN_FLAGS."""
    command = [
        *program,
        str(GOLDEN / "data-bin" / data),
        *(TRAIN_FLAGS if common is None else common),
        "--save-dir",
        str(save_dir),
        *flags,
    ]
    run = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stdout[-2000:]}")
    rows = [
        json.loads(line[line.index("{") :])
        for line in run.stdout.splitlines()
        if "| train_inner |" in line
    ]
    return {int(row["num_updates"]): row for row in rows}


def compare_rows(check, what, ours, theirs, first, last, loss_tolerance):
    """Losses may differ by loss_tolerance, gnorm by 0.2% and half of its third decimal.

    Everything else must be equal.
    """
    problems = []
    for update in range(first, last + 1):
        a, b = ours.get(update), theirs.get(update)
        if a is None or b is None:
            problems.append(f"no row {update}")
            continue
        if abs(float(a["loss"]) - float(b["loss"])) > loss_tolerance:
            problems.append(f"loss of {update}: {a['loss']} and {b['loss']}")
        if abs(float(a["gnorm"]) - float(b["gnorm"])) > 0.002 * float(b["gnorm"]) + 0.0005:
            problems.append(f"gnorm of {update}: {a['gnorm']} and {b['gnorm']}")
        problems += [
            f"{key} of {update}: {a[key]} and {b[key]}"
            for key in ("epoch", "update", "wpb", "bsz", "lr", "clip")
            if a[key] != b[key]
        ]
    check(what, not problems, "; ".join(problems[:3]))


def check_batches(check, folder):
    print("== training with other batch sizes, both programs from the same weights")
    fairseq, btm = [sys.executable, "-m", "fairseq_cli.train"], [str(BIN / "btm"), "train"]
    schedule = [
        "--decoder-ffn-embed-dim",
        "256",
        "--total-num-update",
        "60",
        "--warmup-updates",
        "5",
    ]
    start = folder / "start"
    train(btm, "fortunes", start, [*schedule, *PAIRS, "--max-update", "1"])
    reset = [
        "--restore-file",
        str(start / "checkpoint_last.pt"),
        "--reset-dataloader",
        "--reset-optimizer",
        "--reset-meters",
        "--reset-lr-scheduler",
    ]
    cases = [
        (["--max-tokens", "1500"], 190),  # an epoch has 155 batches
        (["--batch-size", "32", "--required-batch-size-multiple", "3"], 12),
        (["--sample-break-mode", "eos", "--max-tokens", "400"], 30),
    ]
    for number, (flags, updates) in enumerate(cases):
        flags = [*schedule, *flags, *reset, "--no-save", "--max-update", str(updates)]
        ours = train(btm, "fortunes", folder / f"ours.batches{number}", flags)
        theirs = train(
            fairseq,
            "fortunes",
            folder / f"theirs.batches{number}",
            [*flags, "--num-workers", "0", "--valid-subset", "train"],
        )
        compare_rows(check, " ".join(cases[number][0]), ours, theirs, 1, updates, 0)


def check_training(check, folder, quick):
    print("== training: each program resumes the other's checkpoint and follows its trajectory")
    fairseq, btm = [sys.executable, "-m", "fairseq_cli.train"], [str(BIN / "btm"), "train"]
    fairseq_only = [
        "--num-workers",
        "0",
        "--valid-subset",
        "train",
    ]  # loaded even when validation is off
    cases = [("fp32", "fortunes", SINGLE_FLAGS, 0.0011)]
    if not quick:
        # Half precision is not compared: fairseq rounds intermediate values that btm does not. Its
        # --fp16 and its handling of overflows need a GPU, its --bf16 a TPU.
        fp16 = ["--memory-efficient-fp16", "--fp16-init-scale", "64", "--fp16-scale-window", "1000"]
        cases.append(("memory-efficient-fp16", "perl", [*HALF_FLAGS, *fp16], 0.005))
    for name, data, flags, tolerance in cases:
        ours, theirs = folder / f"ours.{name}", folder / f"theirs.{name}"
        mine = train(btm, data, ours, [*flags, "--max-update", "20"])
        for target in (theirs, folder / f"again.{name}"):
            target.mkdir()
            shutil.copy(ours / "checkpoint_1_10.pt", target / "checkpoint_last.pt")
        resumed = train(fairseq, data, theirs, [*flags, *fairseq_only, "--max-update", "20"])
        compare_rows(
            check,
            f"{name}: fairseq-train continues from a checkpoint of btm train",
            resumed,
            mine,
            11,
            20,
            tolerance,
        )
        shutil.copy(theirs / "checkpoint_1_20.pt", folder / f"again.{name}" / "checkpoint_last.pt")
        further = train(fairseq, data, theirs, [*flags, *fairseq_only, "--max-update", "30"])
        back = train(btm, data, folder / f"again.{name}", [*flags, "--max-update", "30"])
        compare_rows(
            check,
            f"{name}: btm train continues from a checkpoint of fairseq-train",
            back,
            further,
            21,
            30,
            tolerance,
        )
