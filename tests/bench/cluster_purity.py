#!/usr/bin/env python3
"""Purity of the clusters of `btm cluster` against known domains: those of the demo's text.

    cluster_purity.py --bin FOLDER [--text FOLDER] [--seeds N]

Purity is the share of documents that lie in a cluster whose most frequent domain is their own, as
many clusters as domains. --text: the text of scripts/demo_corpus.py, which is made when it is not
there.
"""
import argparse
import collections
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def purity(labels, clusters, weights):
    """By documents, and by `weights`."""
    counts = collections.defaultdict(collections.Counter)
    bytes_of = collections.defaultdict(collections.Counter)
    for label, cluster, weight in zip(labels, clusters, weights):
        counts[cluster][label] += 1
        bytes_of[cluster][label] += weight
    return [
        sum(max(one.values()) for one in table.values())
        / sum(sum(one.values()) for one in table.values())
        for table in (counts, bytes_of)
    ] + [max(sum(one.values()) for one in bytes_of.values()) * len(bytes_of) / sum(weights)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--text")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    btm = pathlib.Path(args.bin).resolve() / "btm"
    with tempfile.TemporaryDirectory(prefix="btm-purity-") as temporary:
        folder = pathlib.Path(temporary)
        text = pathlib.Path(args.text or folder / "text")
        if not text.exists():
            subprocess.run(
                [sys.executable, ROOT / "scripts/demo_corpus.py", text], check=True, cwd=folder
            )
        labels, lines = [], []
        for domain in sorted(path for path in text.iterdir() if path.is_dir()):
            for line in (domain / "train.txt").read_text().split("\n")[:-1]:
                labels.append(domain.name)
                lines.append(line)
        (folder / "corpus.txt").write_text("".join(line + "\n" for line in lines))
        weights = [len(line.encode()) for line in lines]
        domains = len(set(labels))
        print(f"{len(lines)} documents, {sum(weights):,} bytes, {domains} domains")
        for balance in ("tokens", "documents", "none"):
            found = []
            for seed in range(1, args.seeds + 1):
                common = ["--balance", balance]
                subprocess.run(
                    [
                        btm,
                        "cluster",
                        "train",
                        "corpus.txt",
                        "--num-clusters",
                        str(domains),
                        "-o",
                        "model",
                        "--overwrite",
                        "--quiet",
                        "--seed",
                        str(seed),
                        *common,
                    ],
                    check=True,
                    cwd=folder,
                    stdout=subprocess.DEVNULL,
                )
                assigned = subprocess.run(
                    [btm, "cluster", "assign", "model", "corpus.txt", *common],
                    check=True,
                    cwd=folder,
                    capture_output=True,
                    text=True,
                ).stdout
                clusters = [json.loads(line)["cluster"] for line in assigned.splitlines()]
                found.append(purity(labels, clusters, weights))
            for name, values in zip(
                ("purity", "purity by bytes", "largest cluster to mean"), zip(*found)
            ):
                print(
                    f"balance {balance}: {name} {statistics.median(values):.3f} "
                    f"({min(values):.3f} to {max(values):.3f}, {args.seeds} seeds)"
                )
        subprocess.run([btm, "cluster", "show", "model", "--samples", "0"], cwd=folder, check=True)


if __name__ == "__main__":
    main()
