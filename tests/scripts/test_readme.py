#!/usr/bin/env python3
"""Runs every command line of README.md, on small data and with small models: flags behind them make the numbers small.

    test_readme.py --bin FOLDER [--section WORDS]

A command that is neither run nor listed in SKIPPED fails the test, so that a new one is thought of here.
"""
import argparse
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden"

# Beginnings of command lines that are not run here, and why.
SKIPPED = {
    "git clone": "needs a network",
    "scripts/": "scripts have tests of their own, or run these tests",
    "btm run my.plan --executor slurm": "run_slurm runs it",
    "torchrun": "needs torch in Python",
    "srun": "needs Slurm",
    "btm train DATA ... --distributed-init-method": "one of eight processes",
}
MODEL = (
    "--arch transformer_lm_gpt3_small --decoder-layers 1 --decoder-embed-dim 16 --decoder-ffn-embed-dim 32 --decoder-attention-heads 2 "
    "--tokens-per-sample 32 --batch-size 2 --cpu"
)
TRAIN = "--optimizer adam --lr 1e-3 " + MODEL
EVAL = "--tokens-per-sample 32 --batch-size 8 --cpu"
# Put behind the command lines that begin so; the last use of a flag wins.
SMALL = {
    "btm train data-bin/law": MODEL + " --max-update 4 --no-epoch-checkpoints",
    "btm train data-bin": MODEL
    + " --max-update 2 --save-interval-updates 1 --no-epoch-checkpoints",
    "btm train DATA": "--max-update 2 --save-dir ranks --disable-validation",
    "btm expert add": MODEL + " --max-update 6 --disable-validation",
    "btm eval-lm": EVAL,
    "btm ensemble-eval": EVAL,
    "btm eval-matrix": EVAL + " --resamples 10",
    "btm-convert train-sentencepiece": "--vocab-size 400",
    "btm cluster train": "--dimensions 4",
}
# What "..." stands for in the command lines that begin so.
ELLIPSIS = {
    "btm train data-bin/law": TRAIN,
    "btm train DATA": TRAIN,
    "btm ensemble-eval ...": "data-bin/law --path clusters --target-eval test_law",
}


def beginning(command, table):
    """The entry of `table` with the longest key that `command` begins with, or None."""
    keys = [key for key in table if command.startswith(key)]
    return table[max(keys, key=len)] if keys else None


def sections(readme):
    """{heading: [command line]}: indented blocks, lines that end in a backslash joined, comments left out."""
    found, heading, joined = {}, "", ""
    for line in readme.splitlines():
        if line.startswith("## "):
            heading = line[3:]
        if not line.startswith("    ") or (
            not joined and re.match(r"    (model  |seed  |dense  |average  |ensemble )", line)
        ):
            continue
        joined += " " + line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        found.setdefault(heading, []).append(re.sub(r"\s{2,}#.*", "", joined).strip())
        joined = ""
    return {
        name: [re.sub(r"\s+", " ", command) for command in commands]
        for name, commands in found.items()
    }


def golden_data(folder, **names):
    """Golden data-bins of domains under other names."""
    for name, domain in names.items():
        (folder / name).mkdir(parents=True)
        for split in ("train", f"valid_{domain}", f"test_{domain}"):
            for ending in (".bin", ".idx"):
                shutil.copy(
                    GOLDEN / "data-bin" / domain / (split + ending),
                    folder / name / (split.replace(domain, name) + ending),
                )
        shutil.copy(GOLDEN / "data-bin/dict.txt", folder / name)
    shutil.copy(GOLDEN / "data-bin/dict.txt", folder)


def released_models(folder):
    golden_data(folder / "DATA", cs="perl", D="jargon")
    for name, source in (
        ("models/1.3B/elmforest/cs", "elm_perl"),
        ("A", "elm_perl"),
        ("B", "elm_jargon"),
        ("models/seed", "seed"),
        ("demix", "demix"),
    ):
        shutil.copytree(GOLDEN / "checkpoints" / source, folder / name)
    shutil.copy(GOLDEN / "checkpoints/seed/checkpoint_last.pt", folder / "IN.pt")


def text(folder):
    (folder / "raw").mkdir()
    for name, domain in (("law", "perl"), ("code", "jargon")):
        shutil.copy(GOLDEN / "corpus" / domain / "valid.txt", folder / "raw" / f"{name}.txt")
    shutil.copy(folder / "raw/law.txt", folder / "train.txt")
    for name in ("encoder.json", "vocab.bpe"):
        shutil.copy(GOLDEN / "gpt2" / name, folder)
    spec = importlib.util.spec_from_file_location(
        "end_to_end", ROOT / "tests/btm/run/end_to_end.py"
    )
    end_to_end = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(end_to_end)
    end_to_end.write_plan(folder).rename(folder / "my.plan")


def cluster(folder):
    golden_data(folder, DATA="perl")
    for file in (folder / "DATA").iterdir():
        file.rename(file.with_name(file.name.replace("_DATA", "")))


SET_UP = {
    "You hold released models": released_models,
    "You have text and want experts": text,
    "You run a cluster": cluster,
}


def experts_for(folder, command):
    """What the README takes as given in the middle of a section."""
    trained = folder / "experts/law/checkpoint_last.pt"
    names = (
        ["elmforest/code"]
        if command.startswith("btm expert add")
        else [f"clusters/c{i}" for i in range(4)]
        if "--cluster-model" in command
        else []
    )
    for name in names:
        (folder / name).mkdir(parents=True)
        shutil.copy(trained, folder / name)


def run_section(name, commands, programs):
    with tempfile.TemporaryDirectory(prefix="btm-readme-") as temporary:
        folder = pathlib.Path(temporary)
        SET_UP.get(name, lambda _: None)(folder)
        environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "HOME": str(folder),
        }
        for command in commands:
            why = beginning(command, SKIPPED)
            if why is not None:
                print(f"skipped ({why}): {command}")
                continue
            experts_for(folder, command)
            line = (
                command.replace("...", beginning(command, ELLIPSIS) or "...")
                + " "
                + (beginning(command, SMALL) or "")
            )
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode != 0:
                sys.exit(
                    f"test_readme.py: README.md, '{name}': status {done.returncode} of\n  {line}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"
                )
            print(f"ran: {command}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bin", required=True, type=pathlib.Path, help="the folder of the programs"
    )
    parser.add_argument("--section", default="", help="only sections whose heading holds this")
    options = parser.parse_args()
    found = sections((ROOT / "README.md").read_text())
    if not set(SET_UP) <= set(found):
        sys.exit(f"test_readme.py: README.md has no section {sorted(set(SET_UP) - set(found))}")
    for name, commands in found.items():
        if options.section in name:
            run_section(name, commands, options.bin.resolve())


if __name__ == "__main__":
    main()
