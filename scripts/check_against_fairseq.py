"""Compares btm with fairseq, for scripts/check-against-fairseq. Exit 1 when anything differs."""
import argparse
import filecmp
import json
import logging
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import torch

from compare_averages import check_average, check_moving_averages
from compare_optimizers import check_optimizers
from compare_training import SINGLE_FLAGS, check_batches, check_training, train
from sample_text import awkward_lines, machine_text

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
BIN = ROOT / "build" / "bin"
LOSS_TOLERANCE = 2e-4  # fairseq prints four decimals, and fp32 sums depend on their order
BASE_FLAGS = ["--sample-break-mode", "none", "--tokens-per-sample", "128", "--batch-size", "2"]
failures = []


def check(what, ok, detail=""):
    print(f"{'ok  ' if ok else 'FAIL'} {what}{'  ' + detail if detail else ''}", flush=True)
    if not ok:
        failures.append(what)


def evaluate(program, checkpoint, data, subset, extra):
    """(loss base 2, tokens, tokens per second, seconds of the process) from the last lines."""
    command = [
        *program,
        str(data),
        "--path",
        str(checkpoint),
        "--gen-subset",
        subset,
        *BASE_FLAGS,
        *extra,
    ]
    start = time.monotonic()
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seconds = time.monotonic() - start
    loss = re.search(r"Loss \(base 2\): ([\d.]+)", run.stdout)
    tokens = re.search(r"Evaluated ([\d,]+) tokens in \S+ \(([\d.]+) tokens/s\)", run.stdout)
    if run.returncode != 0 or not loss or not tokens:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stdout[-2000:]}")
    return float(loss[1]), int(tokens[1].replace(",", "")), float(tokens[2]), seconds


FAIRSEQ = [sys.executable, "-m", "fairseq_cli.eval_lm"]
BTM = [str(BIN / "btm"), "eval-lm"]


def check_losses(quick):
    print("== losses: fairseq-eval-lm and btm eval-lm, with the same flags")
    seen = set()
    for row in json.loads((GOLDEN / "eval.json").read_text()):
        if quick and row["model"] in seen:
            continue
        seen.add(row["model"])
        where = (GOLDEN / row["model"], GOLDEN / row["data"], row["subset"], row["extra"])
        theirs, ours = evaluate(FAIRSEQ, *where), evaluate(BTM, *where)
        check(
            f"{row['model']} {row['subset']} {' '.join(row['extra'])}".rstrip(),
            abs(theirs[0] - ours[0]) <= LOSS_TOLERANCE and theirs[1] == ours[1],
            f"fairseq {theirs[0]:.4f} ({theirs[1]} tokens, {theirs[2]:.0f}/s, {theirs[3]:.1f} s "
            f"in all) "
            f"btm {ours[0]:.4f} ({ours[1]} tokens, {ours[2]:.0f}/s, {ours[3]:.1f} s)",
        )


def same(a, b, path="", seen=None):
    """Compares the content of two pickles: '' or the path of the first difference.

    Cycles are followed once.
    """
    seen = set() if seen is None else seen
    if (id(a), id(b)) in seen:
        return ""
    seen.add((id(a), id(b)))
    if type(a) is not type(b):
        return f"{path}: {type(a)} and {type(b)}"
    if isinstance(a, torch.Tensor):
        equal = (
            a.dtype == b.dtype
            and a.shape == b.shape
            and a.stride() == b.stride()
            and torch.equal(a, b)
        )
        return "" if equal else f"{path}: tensors differ"
    if isinstance(a, dict):
        if list(a) != list(b):
            return f"{path}: keys differ"
        pairs = [(a[k], b[k], f"{path}.{k}") for k in a]
        if hasattr(a, "__dict__"):
            pairs.append((vars(a), vars(b), path))
    elif isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return f"{path}: lengths differ"
        pairs = [(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b))]
    elif hasattr(a, "__dict__") and not isinstance(a, type):
        pairs = [(vars(a), vars(b), path)]
    else:
        return "" if a == b or a != a else f"{path}: {a!r} and {b!r}"
    return next((problem for problem in (same(x, y, p, seen) for x, y, p in pairs) if problem), "")


def storages(value):
    """The number of distinct storages of the model's tensors. Ties must survive."""
    return len(
        {
            t.untyped_storage().data_ptr()
            for t in value["model"].values()
            if isinstance(t, torch.Tensor)
        }
    )


def rewrite(*args):
    subprocess.run([str(BIN / "rewrite"), *map(str, args)], check=True)


def loads_with_weights_only(path):
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        return None


def check_checkpoints(folder):
    print("== checkpoints that compat wrote, read by torch")
    files = (
        sorted(GOLDEN.glob("variants/*.pt"))
        + sorted(GOLDEN.glob("checkpoints/*/*.pt"))
        + sorted(GOLDEN.glob("checkpoints/demix_fork/*/*.pt"))
    )
    for file in files:
        original = torch.load(file, map_location="cpu", weights_only=False)
        for layout in ("zip", "legacy"):
            copy = folder / f"{file.stem}.{layout}.pt"
            rewrite(layout, file, copy)
            again = torch.load(copy, map_location="cpu", weights_only=False)
            problem = same(original, again)
            if not problem and storages(original) != storages(again):
                problem = "storages are not shared as before"
            safe = loads_with_weights_only(file) is not None
            if not problem and safe and same(original, loads_with_weights_only(copy)):
                problem = "weights_only=True does not read the copy as it reads the original"
            check(
                f"{file.relative_to(GOLDEN)} as {layout}{' (weights_only too)' if safe else ''}",
                not problem,
                problem,
            )
    checkpoint = GOLDEN / "checkpoints/elm_perl/checkpoint_last.pt"
    where = (GOLDEN / "data-bin/perl", "test_perl", [])
    expected = evaluate(FAIRSEQ, checkpoint, *where)
    for layout in ("zip", "legacy"):
        copy = folder / f"elm_perl.{layout}.pt"
        rewrite(layout, checkpoint, copy)
        found = evaluate(FAIRSEQ, copy, *where)
        check(
            f"fairseq-eval-lm on a checkpoint rewritten as {layout}",
            found[:2] == expected[:2],
            f"loss {found[0]:.4f}, original {expected[0]:.4f}",
        )


def check_data_bins(folder):
    print("== data-bins and dict.txt that compat wrote, against fairseq's bytes")
    from fairseq.data import Dictionary
    from fairseq.data.indexed_dataset import make_builder, make_dataset

    for domain in ("fortunes", "jargon", "perl", "politics"):
        source = GOLDEN / "data-bin" / domain
        dictionary = Dictionary.load(str(source / "dict.txt"))
        dictionary.save(str(folder / "theirs.txt"))
        rewrite("dict", source / "dict.txt", folder / "ours.txt")
        check(
            f"{domain}: dict.txt",
            filecmp.cmp(folder / "theirs.txt", folder / "ours.txt", shallow=False),
        )
        for split in (f"valid_{domain}", f"test_{domain}"):
            dataset = make_dataset(str(source / split), "mmap")
            for impl in ("mmap", "lazy"):
                theirs, ours = folder / f"theirs.{impl}", folder / f"ours.{impl}"
                builder = make_builder(f"{theirs}.bin", impl, vocab_size=len(dictionary))
                for i in range(len(dataset)):
                    builder.add_item(dataset[i])
                builder.finalize(f"{theirs}.idx")
                rewrite(impl, source / split, ours, source / "dict.txt")
                check(
                    f"{domain} {split} as {impl}",
                    all(
                        filecmp.cmp(f"{theirs}.{end}", f"{ours}.{end}", shallow=False)
                        for end in ("bin", "idx")
                    ),
                )


def preprocess(program, out, flags):
    """Runs the program and returns its seconds. Its files are then in `out`."""
    start = time.monotonic()
    run = subprocess.run(
        [*program, "--only-source", "--destdir", str(out), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if run.returncode != 0:
        sys.exit(
            f"{' '.join(program)} {' '.join(flags)} ended with "
            f"{run.returncode}:\n{run.stdout[-2000:]}"
        )
    return time.monotonic() - start


def check_preprocess(folder, megabytes):
    print("== data-bins from text: fairseq-preprocess and btm-convert preprocess, the same flags")
    awkward, machine, words = (
        folder / "awkward.txt",
        folder / "machine.txt",
        GOLDEN / "preprocess/train.txt",
    )
    awkward.write_bytes("\n".join(awkward_lines(1_000_000, seed=2)).encode())
    machine.write_bytes(machine_text(megabytes * 1_000_000))
    pieces = ",".join(
        str(GOLDEN / f"corpus/{domain}/test.spm")
        for domain in ("fortunes", "jargon", "perl", "politics")
    )
    valid = ["--validpref", pieces, "--testpref", str(GOLDEN / "corpus/perl/valid.spm")]
    table = [
        (
            f"{name} {' '.join(flags)} workers {workers}",
            ["--trainpref", str(file), *flags, "--workers", str(workers)],
        )
        for file, name in ((awkward, "1 MB of difficult Unicode"), (words, "every white space"))
        for flags in (
            [],
            ["--thresholdsrc", "3", "--nwordssrc", "1000", "--padding-factor", "13"],
            ["--dataset-impl", "lazy"],
            ["--dataset-impl", "cached"],
            ["--dataset-impl", "raw"],
            ["--dict-only"],
            ["--nwordssrc", "2"],
        )
        for workers in ((1, 3) if not flags or "lazy" in flags else (1,))
    ]
    table.append(
        (
            "golden pieces, several validation sets",
            ["--trainpref", str(GOLDEN / "corpus/perl/test.spm"), *valid],
        )
    )
    table.append(
        (
            "golden pieces, golden dictionary",
            ["--srcdict", str(GOLDEN / "data-bin/dict.txt"), *valid],
        )
    )
    table.append(
        (f"{megabytes} MB of this machine's text", ["--trainpref", str(machine), "--workers", "2"])
    )
    for number, (what, flags) in enumerate(table):
        theirs, ours = folder / f"theirs{number}", folder / f"ours{number}"
        seconds = preprocess(
            [sys.executable, "-m", "fairseq_cli.preprocess"], theirs, flags
        ), preprocess([str(BIN / "btm-convert"), "preprocess"], ours, flags)
        wanted = sorted(file.name for file in theirs.iterdir() if file.name != "preprocess.log")
        found = sorted(file.name for file in ours.iterdir() if file.name != "preprocess.json")
        check(
            what,
            wanted == found
            and all(filecmp.cmp(theirs / name, ours / name, shallow=False) for name in wanted),
            f"{len(wanted)} files, fairseq {seconds[0]:.1f} s, btm {seconds[1]:.1f} s",
        )
        shutil.rmtree(theirs), shutil.rmtree(ours)


GENERATE_OPTIONS = [
    {"beam": 1, "max_len_b": 40},
    {"beam": 5, "max_len_b": 30},
    {"beam": 5, "max_len_b": 30, "lenpen": 0.5},
    {"beam": 4, "max_len_b": 30, "lenpen": 2.0, "unkpen": 1.0},
    {"beam": 3, "max_len_a": 1.5, "max_len_b": 10, "min_len": 12},
    {"beam": 4, "max_len_b": 24, "temperature": 0.7, "unnormalized": True},
]
SCORE_TOLERANCE, TIE = 2e-4, 1e-4


def prompts_of(pieces, count):
    """Beginnings of lines, of several lengths."""
    lines = [line.split() for line in pieces.read_text().splitlines()]
    lines = [line for line in lines if len(line) > 16][:count]
    return [" ".join(line[: 1 + 5 * i % 17]) for i, line in enumerate(lines)]


def hypothesis_problem(ours, theirs):
    """'' when all hypotheses are the same, but for the order of ties."""
    if len(ours) != len(theirs):
        return f"{len(ours)} hypotheses and {len(theirs)}"
    left = list(ours)
    for place, (tokens, scores, score) in enumerate(theirs):
        mine = next((row for row in left if row["tokens"] == tokens), None)
        if mine is None:
            return f"no hypothesis {tokens}"
        left.remove(mine)
        if abs(mine["score"] - ours[place]["score"]) > TIE:
            return f"another order from {place} on"
        pairs = [*zip(mine["positional_scores"], scores), (mine["score"], score)]
        worst = max(abs(a - b) for a, b in pairs)
        if worst > SCORE_TOLERANCE:
            return f"a score differs by {worst:.1e}"
    return ""


def check_scores(hub, paths, data, lines):
    """The scores of pieces by btm score, and by fairseq's hub interface."""
    run = subprocess.run(
        [str(BIN / "btm"), "score", paths, "--data", str(data), "--format", "jsonl"]
        + ["--bpe", "none", "--quiet"],
        input="".join(f"{line}\n" for line in lines),
        stdout=subprocess.PIPE,
        text=True,
    )
    rows = [json.loads(row) for row in run.stdout.splitlines()]
    problems = [] if run.returncode == 0 else [f"status {run.returncode}"]
    worst = 0.0
    for row, theirs in zip(rows, hub.score(lines)):
        scores = theirs["positional_scores"].tolist()
        if len(scores) != len(row["positional_scores"]):
            problems.append(f"{len(row['positional_scores'])} scores and {len(scores)}")
        pairs = [*zip(row["positional_scores"], scores), (row["score"], float(theirs["score"]))]
        worst = max([worst, *(abs(a - b) for a, b in pairs)])
    check(
        f"{1 + paths.count(':')} models score {len(lines)} lines",
        not problems and len(rows) == len(lines) and worst < SCORE_TOLERANCE,
        "; ".join(problems[:2]) or f"the largest difference is {worst:.1e}",
    )


def check_texts(folder):
    print("== texts: fairseq's hub interface and btm generate and score, on models trained here")
    from fairseq.models.transformer_lm import TransformerLanguageModel

    btm, data = [str(BIN / "btm"), "train"], GOLDEN / "data-bin" / "perl"
    for name in ("fortunes", "perl"):
        flags = [*SINGLE_FLAGS, "--max-update", "40"]
        train(btm, name, folder / f"text.{name}", flags)
    pieces = GOLDEN / "corpus/perl/test.spm"
    prompts = prompts_of(pieces, 8)
    lines = [line for line in pieces.read_text().splitlines() if 0 < len(line.split()) <= 100]
    (folder / "prompts").write_text("".join(f"{prompt}\n" for prompt in prompts))
    one, two = (f"text.{name}/checkpoint_last.pt" for name in ("fortunes", "perl"))
    for models in ([two], [one, two]):
        hub = TransformerLanguageModel.from_pretrained(str(folder), ":".join(models), str(data))
        hub.eval()
        paths = ":".join(str(folder / model) for model in models)
        check_scores(hub, paths, data, lines)
        encoded = [hub.encode(prompt) for prompt in prompts]
        for options in GENERATE_OPTIONS:
            flags = ["--file", str(folder / "prompts"), "--data", str(data), "--format", "jsonl"]
            flags += ["--bpe", "none", "--nbest", str(options["beam"]), "--quiet"]
            for key, value in options.items():
                flags += [f"--{key.replace('_', '-')}"] + ([] if value is True else [str(value)])
            run = subprocess.run(
                [str(BIN / "btm"), "generate", paths, *flags], stdout=subprocess.PIPE, text=True
            )
            rows = [json.loads(line) for line in run.stdout.splitlines()]
            problems = [] if run.returncode == 0 else [f"status {run.returncode}"]
            for tokens, row in zip(encoded, rows):
                theirs = [
                    (h["tokens"].tolist(), h["positional_scores"].tolist(), float(h["score"]))
                    for h in hub.generate([tokens], **options)[0]
                ]
                problems.append(hypothesis_problem(row["hypotheses"], theirs))
            problems = [problem for problem in problems if problem]
            check(
                f"{len(models)} models {options}",
                not problems and len(rows) == len(prompts),
                "; ".join(problems[:2]) or f"{len(rows)} prompts",
            )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--average-script", type=pathlib.Path)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    os.environ["PYTHONWARNINGS"] = "ignore"
    import warnings

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        check_data_bins(pathlib.Path(folder))
        check_preprocess(pathlib.Path(folder), 5 if args.quick else 100)
        check_checkpoints(pathlib.Path(folder))
        check_batches(check, pathlib.Path(folder))
        check_average(check, pathlib.Path(folder), args.average_script)
        check_training(check, pathlib.Path(folder), args.quick)
        check_optimizers(check, pathlib.Path(folder), args.quick)
        check_moving_averages(check, pathlib.Path(folder))
        check_texts(pathlib.Path(folder))
    check_losses(args.quick)
    print(f"== {len(failures)} of the checks failed" if failures else "== everything agrees")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
