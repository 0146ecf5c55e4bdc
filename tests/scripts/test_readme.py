#!/usr/bin/env python3
"""Runs every command line of every README.md, on small data and with small models.

    test_readme.py --bin FOLDER [--document README.md] [--section WORDS]

Flags behind the commands make the numbers small. A command that is neither run nor listed in
SKIPPED fails the test, so that a new one is thought of here. The commands of a section share a
folder, which SET_UP fills.
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
    "btm generate checkpoint_last.pt --file PROMPTS": "was timed with a 125M model",
    "btm serve": "tests/btm/serve/end_to_end.py starts servers",
    "lm_eval": "is another program; scripts/lm-eval runs it",
    "curl": "speaks to a server; tests/btm/serve/end_to_end.py does so",
    "cmake --install": "tests/scripts/test_install.py runs it",
    "scripts/": "scripts have tests of their own, or run these tests",
    "python3 scripts/load_serve.py": "loads a server; tests/btm/serve/end_to_end.py starts servers",
    "python3 tests/bench/run.py": "takes minutes, and needs fairseq",
    "btm plan --example > my.plan": "the other commands need their own plan; cases_plan.py has it",
    "btm run my.plan --executor slurm": "run_slurm runs it",
    "build-fuzz/": "needs clang and a build of its own",
    "torchrun": "needs torch in Python",
    "srun": "needs Slurm",
    "btm train DATA ... --distributed-init-method": "one of eight processes",
}
MODEL = (
    "--arch transformer_lm_gpt3_small --decoder-layers 1 --decoder-embed-dim 16 "
    "--decoder-ffn-embed-dim 32 --decoder-attention-heads 2 --tokens-per-sample 32 --batch-size 2 "
    "--cpu"
)
# The shape of the golden models.
GOLDEN_MODEL = (
    "--decoder-layers 2 --decoder-embed-dim 64 --decoder-ffn-embed-dim 256 "
    "--decoder-attention-heads 4 --tokens-per-sample 128 --batch-size 2 --cpu"
)
TRAIN = "--optimizer adam --lr 1e-3 " + MODEL
EVAL = "--tokens-per-sample 32 --batch-size 8 --cpu"
# Put behind the command lines that begin so; the last use of a flag wins.
SMALL = {
    "btm train data-bin/law": MODEL + " --max-update 4 --no-epoch-checkpoints",
    "btm train data-bin": MODEL
    + " --max-update 2 --save-interval-updates 1 --no-epoch-checkpoints",
    "btm train data-bin --arch transformer_lm_wiki103": "--decoder-layers 1 "
    "--decoder-embed-dim 16 --decoder-input-dim 16 --decoder-output-dim 16 "
    "--decoder-ffn-embed-dim 32 --decoder-attention-heads 2 --adaptive-input-cutoff 20,60 "
    "--adaptive-softmax-cutoff 20,60 --adaptive-input-factor 2 --adaptive-softmax-factor 2 "
    "--tokens-per-sample 32 --max-tokens 64 --cpu --max-update 2 --disable-validation",
    "btm train data-bin --moe-freq": GOLDEN_MODEL
    + " --max-update 2 --no-epoch-checkpoints --disable-validation",
    "btm train new-data": GOLDEN_MODEL + " --max-update 2 --no-epoch-checkpoints",
    "btm mix": "--router-tokens 256",
    "btm train DATA": "--max-update 2 --save-dir ranks --disable-validation",
    "btm expert add elmforest statutes": "",
    "btm expert add": "--max-update 206 --cpu",
    "btm average --model-files experts --output-dir merged --tune": EVAL
    + " --max-samples 8 --tune-evaluations 4 --overwrite",
    "btm eval-lm": EVAL,
    "btm ensemble-eval": EVAL,
    "btm eval-matrix": EVAL + " --resamples 10",
    "btm-convert train-sentencepiece": "--vocab-size 400",
    "btm cluster train": "--dimensions 4",
}
# What "..." stands for in the command lines that begin so.
ELLIPSIS = {
    "btm train data-bin/law": TRAIN,
    "btm train data-bin --moe-freq": "--optimizer adam --lr 1e-3",
    "btm train DATA": TRAIN,
    "btm train new-data": "--optimizer adam",
    "btm ensemble-eval new-data": "--ensemble-type uniform_prior --eval-domains acl "
    "--task multidomain_language_modeling --gen-subset test_acl",
    "btm eval-matrix ...": "data-bin clusters --domains law",
    "btm ensemble-eval ...": "data-bin/law --path clusters --target-eval test_law",
}


def beginning(command, table):
    """The entry of `table` with the longest key that `command` begins with, or None."""
    keys = [key for key in table if command.startswith(key)]
    return table[max(keys, key=len)] if keys else None


def sections(document):
    """{heading: [command line]} of the indented blocks, without comments."""
    found, heading, joined, fenced = {}, "", "", False
    for line in document.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            heading = line[3:]
        if not line.startswith("    ") or fenced:
            continue
        joined += " " + line.strip()
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        command = re.sub(r"\s{2,}#.*", "", joined).strip()
        found.setdefault(heading, []).append(re.sub(r"\s+", " ", command))
        joined = ""
    return found


def documents():
    """Paths of every README.md and of CONTRIBUTING.md, from the top; README.md first."""
    found = [ROOT / "README.md", ROOT / ".github/CONTRIBUTING.md"]
    for folder in ("btm", "compat", "converters", "scripts", "tests"):
        found += sorted((ROOT / folder).rglob("README.md"))
    return [file.relative_to(ROOT).as_posix() for file in found]


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


def golden_models(folder, **names):
    for name, source in names.items():
        shutil.copytree(GOLDEN / "checkpoints" / source, folder / name)


def released_models(folder):
    golden_data(folder / "DATA", cs="perl", D="jargon")
    golden_models(folder / "models/1.3B/elmforest", cs="elm_perl", news="elm_jargon")
    golden_models(folder / "models", seed="seed")
    golden_models(folder, A="elm_perl", B="elm_jargon")


def text_and_models(folder):
    released_models(folder)
    for models in (folder / "models", folder / "models/1.3B/elmforest"):
        shutil.copy(GOLDEN / "data-bin/dict.txt", models)
        shutil.copy(GOLDEN / "corpus/spm.model", models)
    lines = (GOLDEN / "corpus/perl/test.txt").read_text().splitlines()[:12]
    for name in ("sentences.txt", "notes.txt"):
        (folder / name).write_text("".join(line[:200] + "\n" for line in lines))


def plan(folder):
    text(folder)
    spec = importlib.util.spec_from_file_location(
        "end_to_end", ROOT / "tests/btm/run/end_to_end.py"
    )
    end_to_end = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(end_to_end)
    end_to_end.write_plan(folder).rename(folder / "my.plan")


def text(folder):
    (folder / "raw").mkdir()
    for name, domain in (("law", "perl"), ("code", "jargon")):
        shutil.copy(GOLDEN / "corpus" / domain / "valid.txt", folder / "raw" / f"{name}.txt")
    for name in ("encoder.json", "vocab.bpe"):
        shutil.copy(GOLDEN / "gpt2" / name, folder)


def data_bin(folder):
    golden_data(folder / "data-bin", law="perl", code="jargon")


def seed(folder):
    golden_models(folder / "models", seed="seed")


def growing_forest(folder):
    """A forest of one expert, and the text of another."""
    data_bin(folder)
    golden_models(folder / "elmforest", news="elm_jargon")
    for name in ("data-bin/dict.txt", "corpus/spm.model"):
        shutil.copy(GOLDEN / name, folder / "elmforest")
    (folder / "law").mkdir()
    shutil.copy(GOLDEN / "corpus/perl/valid.txt", folder / "law/one.txt")


def two_experts(folder):
    data_bin(folder)
    golden_models(folder / "elmforest", code="elm_jargon", law="elm_perl")


def named_experts(folder):
    two_experts(folder)
    (folder / "elmforest").rename(folder / "experts")


def experts_and_weights(folder):
    named_experts(folder)
    (folder / "tuned").mkdir()
    weights = '{"experts": ["code", "law"], "posterior": [0.5, 0.5]}'
    (folder / "tuned/tune.json").write_text(weights)


def clusters(folder):
    data_bin(folder)
    shutil.copy(GOLDEN / "corpus/perl/valid.txt", folder / "train.txt")
    golden_models(folder / "clusters", **{f"c{i}": "elm_perl" for i in range(4)})


def one_data_bin(folder):
    golden_data(folder, DATA="perl")
    for file in (folder / "DATA").iterdir():
        file.rename(file.with_name(file.name.replace("_DATA", "")))


def plain_data_bin(folder):
    one_data_bin(folder)
    (folder / "DATA").rename(folder / "data-bin")


def domain_tokens(folder):
    golden_data(folder / "DATA", perl="perl")
    shutil.copytree(GOLDEN / "domain_token", folder / "domain_token")


def new_domain(folder):
    golden_data(folder / "new-data", acl="perl")
    golden_models(folder, demix="demix")


def files_to_convert(folder):
    one_data_bin(folder)
    golden_models(folder, demix="demix")
    shutil.copy(GOLDEN / "checkpoints/seed/checkpoint_last.pt", folder / "IN.pt")


def merge_configuration(folder):
    """The example in btm/merge/README.md, and its models."""
    document = (ROOT / "btm/merge/README.md").read_text()
    (folder / "merge.yml").write_text(re.search(r"```yaml\n(.*?)```", document, re.DOTALL).group(1))
    golden_models(folder / "models", seed="seed", law="elm_perl", code="elm_jargon")


def run_of_checkpoints(folder):
    shutil.copytree(GOLDEN / "average_run", folder / "models/seed")


# What the reader of a section has, by document and heading.
SET_UP = {
    "README.md": {
        "You hold released models": released_models,
        "You have text and want experts": plan,
        "You run a cluster": one_data_bin,
    },
    "btm/branch/README.md": {"A forest that grows": growing_forest, "Branching by hand": seed},
    "btm/cluster/README.md": {"": clusters},
    "btm/distributed/README.md": {"How to start ranks": one_data_bin, "DeMIX": new_domain},
    "btm/ensemble/README.md": {
        "Weighing experts": text_and_models,
        "The best fixed weights": named_experts,
    },
    "btm/evaluator/README.md": {
        "DeMIX's domain tokens": domain_tokens,
        "Released models": released_models,
        "Scoring text": text_and_models,
    },
    "btm/merge/README.md": {
        "": released_models,
        "Weights by the loss on data": experts_and_weights,
        "Along a run": run_of_checkpoints,
        "mergekit's files": merge_configuration,
    },
    "btm/mix/README.md": {"": two_experts},
    "btm/run/README.md": {"": plan},
    "btm/trainer/README.md": {
        "From a data-bin to experts": data_bin,
        "Optimizers, schedules and losses": plain_data_bin,
        "Moving average of the weights": data_bin,
    },
    "converters/README.md": {
        "Look, check, mend": files_to_convert,
        "Convert": files_to_convert,
        "From text to a data-bin": text,
    },
}


def run_section(document, heading, commands, programs):
    with tempfile.TemporaryDirectory(prefix="btm-readme-") as temporary:
        folder = pathlib.Path(temporary)
        SET_UP.get(document, {}).get(heading, lambda _: None)(folder)
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
            stands_for, small = beginning(command, ELLIPSIS), beginning(command, SMALL)
            line = f"{command.replace('...', stands_for or '...')} {small or ''}"
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
                    f"test_readme.py: {document}, '{heading}': status {done.returncode} of\n"
                    f"  {line}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"
                )
            print(f"ran: {command}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bin", required=True, type=pathlib.Path, help="the folder of the programs"
    )
    parser.add_argument("--document", default="", help="only documents whose path holds this")
    parser.add_argument("--section", default="", help="only sections whose heading holds this")
    options = parser.parse_args()
    for document in documents():
        found = sections((ROOT / document).read_text())
        if missing := set(SET_UP.get(document, {})) - set(found):
            sys.exit(f"test_readme.py: {document} has no section with commands {sorted(missing)}")
        if options.document not in document:
            continue
        for heading, commands in found.items():
            if options.section in heading:
                print(f"== {document}: {heading}", flush=True)
                run_section(document, heading, commands, options.bin.resolve())


if __name__ == "__main__":
    main()
