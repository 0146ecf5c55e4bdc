#!/usr/bin/env python3
"""Branch-Train-MiX on a run of scripts/demo: mixes its experts, trains the mixture, and compares.

usage: scripts/compare_mixtures.py RUN [RUN...] [--bin build/bin] [--updates 30] [--equal 100]
                                   [--starts random,domain,posterior] [--out FILE]

RUN is a folder that scripts/demo has finished, such as demo-out/run-1. The script mixes its experts
from each start of the routers, trains the routers alone and everything for some updates on all
domains, and evaluates every model on the test sets, beside the dense model, the ensemble and the
average. Another mixture trains everything for --equal updates. Beside it stands a dense model of
equal total compute, "dense N": its N updates, from the first, cost as much as the seed model, the
experts and the mixture's training together. The table has perplexity relative to the dense model's,
parameters, those that a token uses, and training cost in floating-point operations relative to
dense. Several runs, of several seeds, are averaged, with the lowest and the highest ratio.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys

SHAPE = [
    "--arch",
    "transformer_lm_gpt3_small",
    "--decoder-layers",
    "3",
    "--decoder-embed-dim",
    "128",
    "--decoder-attention-heads",
    "4",
    "--decoder-ffn-embed-dim",
    "512",
]
BATCH = ["--tokens-per-sample", "128", "--batch-size", "4", "--update-freq", "4"]
OPTIMIZER = ["--optimizer", "adam", "--adam-betas", "(0.9, 0.95)", "--adam-eps", "10e-8"]
OPTIMIZER += ["--weight-decay", "0.1", "--clip-norm", "0.1"]
LAYERS, WIDTH, HIDDEN, LENGTH, UPDATE_TOKENS, UPDATES = 3, 128, 512, 128, 2048, 300
BLOCK = 2 * WIDTH * HIDDEN
STARTS = ["random", "domain", "posterior"]


def call(args, log):
    """Runs a program. Its output goes to `log`."""
    with open(log, "w") as out:
        done = subprocess.run([str(arg) for arg in args], stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"compare_mixtures: {args[1]} failed, see {log}")


def forward_flops(vocabulary, experts):
    """Of a token, multiplications and additions: matrices, attention over half the sample, output;
    `experts` blocks a layer."""
    layer = 4 * WIDTH * WIDTH + experts * BLOCK + LENGTH * WIDTH
    return 2 * (LAYERS * layer + vocabulary * WIDTH)


def cost(updates, vocabulary, experts, everything):
    """Floating-point operations of a training. A backward pass costs two forward passes, or one
    where no weight but the routers' gets a gradient."""
    return updates * UPDATE_TOKENS * forward_flops(vocabulary, experts) * (3 if everything else 2)


class Comparison:
    def __init__(self, run, options):
        self.run = pathlib.Path(run).resolve()
        self.bin = pathlib.Path(options.bin).resolve()
        self.options = options
        self.folder = self.run / "mixtures"
        self.folder.mkdir(exist_ok=True)
        self.domains = sorted(
            path.name for path in (self.run / "experts").iterdir() if path.is_dir()
        )
        self.vocabulary = 4 + sum(1 for _ in open(self.run / "data-bin" / "dict.txt"))
        self.models, self.costs, self.counts = {}, {}, {}

    def mix(self, start):
        out = self.folder / start
        args = [
            self.bin / "btm",
            "mix",
            self.run / "experts",
            "--output",
            out,
            "--overwrite",
            "--cpu",
        ]
        if start != "random":
            args += ["--router", start, "--data", self.run / "data-bin"]
        if not (out / "checkpoint_last.pt").exists():
            call([*args, "--router-tokens", "4096"], self.folder / f"mix-{start}.log")
        return out / "checkpoint_last.pt"

    def train_on_all(self, name, updates, lr, warmup, flags):
        """Trains on all domains, and returns the checkpoint."""
        out = self.folder / name.replace(" ", "-")
        domains = ",".join(self.domains)
        args = [self.bin / "btm", "train", self.run / "data-bin", *SHAPE, *BATCH, *OPTIMIZER]
        args += ["--task", "multidomain_language_modeling", "--criterion"]
        args += ["desynchronized_cross_entropy", "--train-domains", domains, "--eval-domains"]
        args += [domains, "--unbalanced", "--disable-validation", "--no-epoch-checkpoints"]
        args += ["--lr", lr, "--lr-scheduler", "polynomial_decay", "--warmup-updates", warmup]
        args += ["--total-num-update", updates, "--max-update", updates, "--cpu"]
        args += ["--log-format", "json", "--log-interval", "10", "--save-dir", out, *flags]
        trained = out / "checkpoint_last.pt"
        if not trained.exists():
            call(args, out.with_suffix(".log"))
        return trained

    def train(self, name, model, flags, everything, updates):
        name = f"{name} {updates}"
        flags = ["--moe-freq", "1", "--moe-expert-count", len(self.domains), *flags]
        flags += ["--finetune-from-model", model]
        trained = self.train_on_all(name, updates, "1e-3", "3", flags)
        self.add(name, trained, 2, cost(updates, self.vocabulary, 2, everything))
        return self.costs[name]

    def train_dense(self, total):
        """A dense model whose whole training costs `total` times the dense model's."""
        updates = round(UPDATES * total)
        warmup = round(0.08 * updates)  # as the run's plan
        name = f"dense {updates}"
        self.add(name, self.train_on_all(name, updates, "4e-3", warmup, []), 1, 0)
        self.costs[name] = updates / UPDATES

    def add(self, name, path, active, extra):
        """`active` is the number of feed-forward blocks that a token uses in a layer."""
        experts = len(self.domains)
        shared = self.vocabulary * WIDTH + (LENGTH + 2) * WIDTH + LAYERS * 4 * WIDTH * WIDTH
        self.models[name] = path
        self.counts[name] = (
            shared + LAYERS * BLOCK * (experts if active > 1 else 1),
            shared + LAYERS * BLOCK * active,
        )
        base = UPDATES * UPDATE_TOKENS * forward_flops(self.vocabulary, 1) * 3
        self.costs[name] = 1 + extra / base

    def evaluate(self):
        """{model: perplexity}. The run itself has evaluated what is no mixture."""
        named = [f"{name}={path}" for name, path in self.models.items() if name != "dense"]
        out = self.folder / "matrix"
        args = [self.bin / "btm", "eval-matrix", self.run / "data-bin", *named, "--ensembles", ""]
        args += ["--tokens-per-sample", LENGTH, "--batch-size", "4", "--cpu", "--out", out]
        call(args, self.folder / "eval-matrix.log")
        rows = [
            row
            for matrix in (self.run / "eval" / "matrix.json", out / "matrix.json")
            for row in json.loads(matrix.read_text())["rows"]
        ]
        return {row["name"]: row["mean"]["ppl"] for row in rows}

    def compare(self):
        self.add("dense", self.run / "dense" / "checkpoint_last.pt", 1, 0)
        starts = self.options.starts.split(",")
        updates = self.options.updates
        mixed = {start: self.mix(start) for start in starts}
        for start, path in mixed.items():
            self.add(f"mix {start}", path, 2, 0)
        for start in starts:
            self.train(f"routers {start}", mixed[start], ["--moe-train", "routers"], False, updates)
        self.train("everything posterior", mixed["posterior"], [], True, updates)
        self.train_dense(
            self.train("everything posterior", mixed["posterior"], [], True, self.options.equal)
        )
        tuned = self.run / "tuned" / "checkpoint_last.pt"
        if tuned.exists():
            self.add("tuned average", tuned, 1, 0)
        return self.evaluate()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--equal", type=int, default=100)
    parser.add_argument("--starts", default=",".join(STARTS))
    parser.add_argument("--out", default="mixtures.json")
    options = parser.parse_args()
    results = {}
    for run in options.runs:
        comparison = Comparison(run, options)
        for name, ppl in comparison.compare().items():
            results.setdefault(name, []).append(ppl)
        print(f"{run}: done", file=sys.stderr)
    dense = results["dense"]
    table = {}
    for name, values in results.items():
        if name in comparison.domains:
            continue
        ratios = [value / base for value, base in zip(values, dense)]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        parameters, active = comparison.counts.get(name, (None, None))
        table[name] = {
            "ppl": values,
            "to_dense": mean,
            "lowest": min(ratios),
            "highest": max(ratios),
            "parameters": parameters,
            "active": active,
            "cost": comparison.costs.get(name, 1),
        }
    pathlib.Path(options.out).write_text(json.dumps(table, indent=1) + "\n")
    print("| model | to dense | lowest–highest | parameters | of a token | training cost |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, row in table.items():
        count = lambda value: "–" if value is None else f"{value / 1e6:.2f}M"  # noqa: E731
        print(
            f"| {name} | {row['to_dense']:.3f} | {row['lowest']:.3f}–{row['highest']:.3f} "
            f"| {count(row['parameters'])} | {count(row['active'])} | {row['cost']:.3f} |"
        )


if __name__ == "__main__":
    main()
