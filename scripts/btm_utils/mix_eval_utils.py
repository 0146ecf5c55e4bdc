#!/usr/bin/env python3
"""Prints "RESULTS_FOLDER MODEL:MODEL:...": the checkpoints of an ensemble from a folder of runs.

  read -r results models < <(python mix_eval_utils.py --model-folder RUNS --model-type mod \\
    --regex-str 'MODEL.*' --checkpoint-ids last)
  bash btm_shell_scripts/ensemble_eval.sh 8 DATA $models DOMAIN cached_prior $results
"""
import argparse
import pathlib
import re
import sys
from typing import List

NOT_RUNS = {"demix", "mod", "slurm_logs", "eval", "evals"}
DOMAINS = 8  # experts of the release; a DeMIX model on more GPUs has several ranks for each


def parse(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="Prints the results folder and the models of an ensemble."
    )
    parser.add_argument(
        "--model-folder",
        required=True,
        type=pathlib.Path,
        help="the folder with the runs, or with the DeMIX model",
    )
    parser.add_argument(
        "--model-type",
        required=True,
        choices=["mod", "demix"],
        help="mod: one run per expert; demix: the ranks of one DeMIX model",
    )
    parser.add_argument(
        "--regex-str",
        default="",
        help="use the runs whose names begin with a match, in the order of their names (mod)",
    )
    parser.add_argument(
        "--checkpoint-ids",
        default="last",
        help="'last' or 'EPOCH_UPDATE': one for all experts, or one per expert",
    )
    parser.add_argument("--experts-to-use", default="0,1,2,3,4,5,6,7", help="which, from 0 on")
    parser.add_argument("--id-str", default="", help="name of a separate folder for the results")
    options = parser.parse_args(arguments)
    try:
        options.experts = [int(expert) for expert in options.experts_to_use.split(",")]
        options.pattern = re.compile(options.regex_str)
    except ValueError:
        parser.error(
            f"--experts-to-use {options.experts_to_use!r}, expected numbers separated by commas"
        )
    except (re.error, OverflowError, RecursionError) as error:
        parser.error(f"--regex-str {options.regex_str!r}: {error}")
    try:
        is_folder = options.model_folder.is_dir()
    except OSError:  # the name is too long
        is_folder = False
    if not is_folder:
        parser.error(f"--model-folder {options.model_folder}: no such folder")
    if min(options.experts) < 0:
        parser.error(f"--experts-to-use {options.experts_to_use!r}: a negative number")
    return options


class Failure(Exception):
    """The problem, in one line."""


def checkpoint_id(options: argparse.Namespace, expert: int) -> str:
    ids = options.checkpoint_ids.split(",")
    if len(ids) > 1 and expert >= len(ids):
        raise Failure(
            f"--checkpoint-ids has {len(ids)} entries, expert {expert} needs {expert + 1}"
        )
    return ids[expert] if len(ids) > 1 else ids[0]


def models(options: argparse.Namespace) -> List[pathlib.Path]:
    folder = options.model_folder
    ids = {expert: checkpoint_id(options, expert) for expert in options.experts}
    if options.model_type == "demix":
        ranks = len(list(folder.glob("checkpoint_last-rank-*.pt")))
        return [
            folder
            / f"checkpoint_{ids[i]}-rank-{i * ranks // DOMAINS if ranks >= DOMAINS else i}.pt"
            for i in options.experts
        ]
    runs = sorted(
        run.name
        for run in folder.iterdir()
        if run.is_dir() and run.name not in NOT_RUNS and options.pattern.match(run.name)
    )
    if max(options.experts) >= len(runs):
        raise Failure(
            f"{folder}: {len(runs)} runs match {options.regex_str!r}, expected enough for "
            f"expert {max(options.experts)}"
        )
    return [folder / runs[i] / f"checkpoint_{ids[i]}.pt" for i in options.experts]


def main() -> None:
    sys.stdout.reconfigure(errors="surrogateescape")  # a folder's name may be any bytes
    options = parse(sys.argv[1:])
    try:
        paths = models(options)
        for path in paths:
            if not path.is_file():
                raise Failure(f"{path}: no such file")
    except (Failure, OSError) as error:
        sys.exit(f"mix_eval_utils.py: error: {error}")
    name = options.regex_str.replace(".*", "").replace(".", "")
    print(
        options.model_folder / "evals" / name / options.id_str,
        ":".join(str(path) for path in paths),
    )


if __name__ == "__main__":
    main()
