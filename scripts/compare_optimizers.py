"""Compares btm's optimizers and schedules with fairseq's, for check_against_fairseq.py.

Alone, it writes fairseq's logs, of all cases or of some:

    scripts/compare_optimizers.py tests/golden/training/optimizers [NAME...]
"""
import json
import pathlib
import shutil
import sys
import tempfile

from compare_training import BIN, GOLDEN, PAIRS, TRAIN_FLAGS, compare_rows, train

UPDATES = 40
ADAPTIVE_SIZES = "--decoder-layers 2 --decoder-embed-dim 32 --decoder-ffn-embed-dim 64 "
ADAPTIVE_SIZES += "--decoder-attention-heads 2 --dropout 0 --attention-dropout 0 "
ADAPTIVE_SIZES += "--activation-dropout 0 "
# The recipe of fairseq's wiki103 model, in small.
WIKI103 = "--optimizer nag --lr 0.3 --clip-norm 0.1 --criterion adaptive_loss "
WIKI103 += "--lr-scheduler cosine --warmup-updates 10 --warmup-init-lr 1e-7 --min-lr 1e-4 "
WIKI103 += "--lr-period-updates 20 --t-mult 2 --lr-shrink 0.75 --stop-min-lr 1e-9 "
WIKI103 += "--arch transformer_lm_wiki103 --adaptive-softmax-dropout 0 "
WIKI103 += "--adaptive-input-cutoff 400,1000 --adaptive-softmax-cutoff 400,1000 "
WIKI103 += "--adaptive-input-factor 2 --adaptive-softmax-factor 2 "


def without(flags, names):
    """`flags` without these flags and their values."""
    kept, skip = [], False
    for flag in flags:
        if skip:
            skip = False
        elif flag in names:
            skip = True
        else:
            kept.append(flag)
    return kept


VALIDATED = [flag for flag in TRAIN_FLAGS if flag != "--disable-validation"]
SAME = without(VALIDATED, ["--optimizer", "--adam-betas", "--adam-eps", "--weight-decay", "--lr"])
SCHEDULE = ["--total-num-update", "60", "--warmup-updates", "5"]
SAME_BATCHES = ["--max-sentences", "4", "--required-batch-size-multiple", "1"]
SIZES = [*PAIRS, "--decoder-ffn-embed-dim", "256"]
MODEL = [*SIZES, *SCHEDULE, "--disable-validation"]
NO_FLAT = ["--fp16", "--fp16-no-flatten-grads", "--fp16-scale-window", "1000"]
LEAN = ["--memory-efficient-fp16", "--fp16-scale-window", "1000"]
CASES = [
    ("nag", ["--optimizer", "nag", "--lr", "2e-3", "--weight-decay", "0.1"]),
    ("sgd", ["--optimizer", "sgd", "--lr", "2"]),
    (
        "sgd_momentum",
        ["--optimizer", "sgd", "--lr", "0.5", "--momentum", "0.9", "--weight-decay", "1e-3"],
    ),
    ("adagrad", ["--optimizer", "adagrad", "--lr", "1e-2", "--weight-decay", "1e-4"]),
    ("adafactor", ["--optimizer", "adafactor", "--lr", "2e-3", "--weight-decay", "0.1"]),
    (
        "adafactor_scaled",
        ["--optimizer", "adafactor", "--lr", "0.1", "--beta1", "0.9", "--scale-parameter"]
        + ["--clip-threshold", "0.7", "--decay-rate", "-0.6", "--adafactor-eps", "(1e-20, 0.5)"],
    ),
    (
        "adamax",
        ["--optimizer", "adamax", "--lr", "2e-3", "--weight-decay", "0.1"]
        + ["--adamax-betas", "(0.9, 0.99)", "--adamax-eps", "1e-6"],
    ),
    (
        "label_smoothing",
        ["--optimizer", "adam", "--lr", "2e-3", "--criterion", "label_smoothed_cross_entropy"]
        + ["--label-smoothing", "0.1"],
    ),
]
HALF = [
    (f"{name} {' '.join(precision[:2])}", [*flags, *precision])
    for name, flags in CASES
    for precision in ([NO_FLAT, LEAN] if name in ("nag", "adafactor", "adamax") else [NO_FLAT])
    if name in ("nag", "sgd_momentum", "adagrad", "adafactor", "adamax")
]
FAIRSEQ_ONLY = ["--num-workers", "0", "--valid-subset", "train"]
PLAIN_ADAM = ["--valid-subset", "valid_fortunes", "--optimizer", "adam", "--lr", "1e-3"]
PLAIN_ADAM.append("--lr-scheduler")
SCHEDULES = [
    ("tri_stage", ["--phase-ratio", "(0.25, 0.25, 0.5)"]),
    ("triangular", ["--max-lr", "3e-3", "--lr-period-updates", "15", "--shrink-min"]),
    # An epoch has 12 updates, so that none ends where the programs change places (20).
    (
        "reduce_lr_on_plateau",
        ["--batch-size", "56", "--lr-threshold", "0.05", "--lr-shrink", "0.5"]
        + ["--warmup-updates", "8"],
    ),
    ("manual", ["--update2lr", "{'1-9': 1e-3, '12,30': 5e-4}"]),
]


def start_of(folder, name="single", flags=(*MODEL, "--optimizer", "adam")):
    """A whole checkpoint of the golden initial weights."""
    target = folder / f"start.{name}"
    flags = [*flags, "--max-update", "1", "--finetune-from-model"]
    flags.append(str(GOLDEN / ("training" if name == "single" else "adaptive") / name))
    flags[-1] += "/initial_weights.pt"
    train([str(BIN / "btm"), "train"], "fortunes", target, flags, SAME)
    reset = [f"--reset-{what}" for what in ("dataloader", "optimizer", "meters", "lr-scheduler")]
    return ["--restore-file", str(target / "checkpoint_last.pt"), *reset]


def fairseq_rows(folder, name, flags, start, model=MODEL):
    flags = [*model, *FAIRSEQ_ONLY, *flags, "--max-update", str(UPDATES), *start]
    program = [sys.executable, "-m", "fairseq_cli.train"]
    return train(program, "fortunes", folder / f"theirs.{name}", flags, SAME)


def check_both_ways(check, folder, name, flags, start, tolerance, model=MODEL):
    """40 updates from the same weights; then each continues at 20 from the other's checkpoint."""
    btm = [str(BIN / "btm"), "train"]
    fresh = [*model, *flags, "--max-update", str(UPDATES)]
    ours, theirs = folder / f"ours.{name}", folder / f"theirs.{name}"
    mine = train(btm, "fortunes", ours, [*fresh, *start], SAME)
    rows = fairseq_rows(folder, name, flags, start, model)
    compare_rows(check, f"{name}: {UPDATES} updates", mine, rows, 1, UPDATES, tolerance)
    crossed, back = folder / f"crossed.{name}", folder / f"back.{name}"
    for source, target in ((ours, crossed), (theirs, back)):
        target.mkdir()
        shutil.copy(next(source.glob("checkpoint_*_20.pt")), target / "checkpoint_last.pt")
    resumed = fairseq_rows(folder, name, [*flags, "--save-dir", str(crossed)], [], model)
    what = "fairseq-train continues from a checkpoint of btm train"
    compare_rows(check, f"{name}: {what}", resumed, mine, 21, UPDATES, tolerance)
    again = train(btm, "fortunes", back, fresh, SAME)
    what = "btm train continues from a checkpoint of fairseq-train"
    compare_rows(check, f"{name}: {what}", again, rows, 21, UPDATES, tolerance)


def check_optimizers(check, folder, quick):
    print("== optimizers: 40 updates from the same weights, each program resumes the other's state")
    start = start_of(folder)
    for name, flags in CASES:
        check_both_ways(check, folder, name, flags, start, 0.0011)
    # Intermediate values of fairseq's are rounded to half precision.
    for name, flags in [] if quick else HALF:
        check_both_ways(check, folder, name.replace(" ", ""), flags, start, 0.01)
    wiki103 = [*SAME_BATCHES, *(WIKI103 + ADAPTIVE_SIZES).split(), "--disable-validation"]
    other = start_of(folder, "wiki103", wiki103)
    ddp = ["--ddp-backend", "legacy_ddp"]
    check_both_ways(check, folder, "wiki103", ddp, other, 0.0011, wiki103)
    print("== learning rates: 40 updates with each schedule, each program resumes the other's")
    for name, flags in SCHEDULES:
        check_both_ways(check, folder, name, [*PLAIN_ADAM, name, *flags], start, 0.0011, SIZES)


def main():
    target = pathlib.Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        start = start_of(folder)
        for name, flags in CASES:
            if len(sys.argv) > 2 and name not in sys.argv[2:]:
                continue
            rows = fairseq_rows(folder, name, flags, start)
            keys = (
                "num_updates",
                "epoch",
                "update",
                "loss",
                "gnorm",
                "clip",
                "lr",
                "wpb",
                "bsz",
                "nll_loss",
            )
            lines = [
                json.dumps({key: row[key] for key in keys if key in row}) for row in rows.values()
            ]
            (target / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
