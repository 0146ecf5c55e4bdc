#!/usr/bin/env python3
"""A newcomer's ten days with a plan of `btm run`: a domain is added, the project moves, an expert
is added, removed and brought back, a domain is renamed, and text without labels goes through
clusters. After each it checks that nothing was computed that was there, and that nothing stale is
shown.

    ten_days.py --bin FOLDER
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import end_to_end
from end_to_end import CORPUS, require, write_plan

SHAPE = (
    "--decoder-layers 1 --decoder-embed-dim 16 --decoder-attention-heads 2 "
    "--decoder-ffn-embed-dim 32 --cpu --num-threads 1"
)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    require(
        done.returncode == 0,
        f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}",
    )
    return done.stdout, done.stderr


class Project:
    """A plan in its folder."""

    def __init__(self, bin_folder, plan):
        self.btm, self.convert = bin_folder / "btm", bin_folder / "btm-convert"
        self.plan = plan

    @property
    def output(self):
        return self.plan.parent / (self.plan.stem + "-out")

    def edit(self, old, new):
        text = self.plan.read_text()
        require(old in text, f"the plan has no '{old}'")
        self.plan.write_text(text.replace(old, new))

    def run(self, expected, day):
        """Runs the plan. Exactly the steps `expected` may start."""
        out, err = run(self.btm, "run", self.plan, "--no-progress-bar")
        started = {
            line.split("start ", 1)[1]
            for line in err.splitlines()
            if line.startswith("btm run: start ")
        }
        require(started == set(expected), f"{day}: started {sorted(started)}:\n{err}")
        require("ensemble cached_prior" in out, f"{day}: no table in:\n{out}")
        require(f"report: {self.output}/report.html" in out, f"{day}: no report in:\n{out}")
        print(f"{day}: {len(started)} steps ran")
        return out, err

    def shown(self):
        """The rows and columns of the matrix, which the page has to show as well."""
        matrix = json.loads((self.output / "eval/matrix.json").read_text())
        report = (self.output / "report.html").read_text()
        rows = {row["name"] for row in matrix["rows"]}
        for name in rows | set(matrix["domains"]):
            require(name in report, f"the report does not show {name}")
        return rows, matrix["domains"], report


def labelled(project):
    seed_steps = {"dictionary", "seed", "branch", "dense"}
    last = {"average", "evaluate", "report"}
    first = {f"{step}.{name}" for step in ("preprocess", "expert") for name in end_to_end.DOMAINS}
    project.run(seed_steps | first | last, "day 1, the plan")
    project.run([], "day 1, again")
    first_report = (project.output / "report.html").read_text()

    text = project.plan.parent / "text"
    (text / "politics").mkdir()
    lines = (CORPUS / "politics/test.txt").read_text().splitlines(keepends=True)
    shutil.copy(CORPUS / "politics/valid.txt", text / "politics/train.txt")
    (text / "politics/valid.txt").write_text("".join(lines[:12]))
    (text / "politics/test.txt").write_text("".join(lines[12:30]))
    project.edit("domains = fortunes, perl\n", "domains = fortunes, perl, politics\n")
    _, err = project.run(
        {"preprocess.politics", "expert.politics"} | last, "day 2, a domain is added"
    )
    require("set aside in" in err, f"nothing is said of the old report:\n{err}")
    earlier = project.output / "earlier/1"
    require((earlier / "report.html").read_text() == first_report, "the old report is not kept")
    rows, domains, _ = project.shown()
    require(domains == ["fortunes", "perl", "politics"], f"columns {domains}")
    require("politics" in rows, f"rows {rows}")

    old = project.plan.parent
    shutil.move(old, old.parent / "moved")
    project.plan = old.parent / "moved" / project.plan.name
    project.run([], "day 3, the project has moved")
    run(project.btm, "run", project.plan, "--redo", "report", "--no-progress-bar")
    report = project.shown()[2]
    require(str(old) not in report, "the report shows the old place")
    brought(project, last)


def brought(project, last):
    folder = project.plan.parent
    shutil.copytree(folder / "text/politics", folder / "more/jargon")
    for split in ("train", "valid", "test"):
        source = CORPUS / "jargon" / ("valid.txt" if split == "train" else "test.txt")
        lines = source.read_text().splitlines(keepends=True)
        (folder / f"more/jargon/{split}.txt").write_text("".join(lines[:40]))
    prefixes = [
        f"--{split}pref={folder}/more/{{domain}}/{split}.txt"
        for split in ("train", "valid", "test")
    ]
    dictionary = project.output / "data-bin/dict.txt"
    run(
        project.convert,
        "preprocess",
        "--bpe",
        "sentencepiece",
        "--sentencepiece-model",
        CORPUS / "spm.model",
        "--srcdict",
        dictionary,
        "--domains",
        "jargon",
        *prefixes,
        "--destdir",
        project.output / "data-bin",
    )
    forest = project.output / "experts"
    run(
        project.btm,
        "expert",
        "add",
        forest,
        "jargon",
        "--data",
        project.output / "data-bin/jargon",
        "--tokens-per-sample",
        "32",
        "--cpu",
        "--num-threads",
        "1",
        "--max-samples",
        "3",
        "--prior-batches",
        "3",
        "--",
        "--arch",
        "transformer_lm_gpt3_small",
        "--task",
        "language_modeling",
        "--tokens-per-sample",
        "32",
        "--sample-break-mode",
        "none",
        "--batch-size",
        "2",
        "--max-update",
        "3",
        "--lr",
        "1e-2",
        "--disable-validation",
        *SHAPE.split(),
    )
    project.run(last, "day 4, an expert is added")
    rows, domains, _ = project.shown()
    require("jargon" in rows and "jargon" in domains, f"rows {rows}, columns {domains}")
    with_jargon = (project.output / "report.html").read_text()

    run(project.btm, "expert", "remove", forest, "jargon")
    project.run([], "day 5, it is removed")
    rows, domains, _ = project.shown()
    require("jargon" not in rows and "jargon" not in domains, f"rows {rows}, columns {domains}")
    listed, _ = run(project.btm, "expert", "list", forest)
    require("removed" in listed, f"no state of what was removed:\n{listed}")

    run(project.btm, "expert", "add", forest, "jargon")
    project.run([], "day 6, it is brought back")
    require(
        (project.output / "report.html").read_text() == with_jargon, "the report is another one"
    )
    run(project.btm, "expert", "check", forest)
    run(project.btm, "expert", "rename", forest, "jargon", "hackers")
    project.run({"evaluate", "report"}, "day 7, the expert is renamed")
    rows, _, _ = project.shown()
    require("hackers" in rows and "jargon" not in rows, f"rows {rows}")

    (folder / "text/perl").rename(folder / "text/camel")
    project.edit("domains = fortunes, perl, politics\n", "domains = fortunes, camel, politics\n")
    project.run({"evaluate", "report"}, "day 8, a domain is renamed")
    rows, domains, report = project.shown()
    require(
        "camel" in rows and "perl" not in rows and ">perl<" not in report,
        f"rows {rows}, columns {domains}",
    )
    listed, _ = run(project.btm, "expert", "list", forest)
    require("camel" in listed and "perl" not in listed, f"the forest is stale:\n{listed}")


def unlabelled(bin_folder, folder):
    texts = [(CORPUS / domain / "test.txt").read_text() for domain in ("perl", "politics")]
    folder.mkdir()
    (folder / "corpus.txt").write_text("".join(texts))
    plan = folder / "corpus.plan"
    plan.write_text(
        f"""[data]
corpus = corpus.txt
[clusters]
number = 2
held_out = 0.2
flags = --dimensions 20
[tokeniser]
model = {CORPUS / "spm.model"}
[model]
tokens_per_sample = 32
flags = {SHAPE}
[train]
updates = 4
lr = 1e-2
log_interval = 1
[experts]
dense = no
[evaluate]
flags = --resamples 20 --num-threads 1 --cpu
"""
    )
    project = Project(bin_folder, plan)
    every = {"clusters", "split", "dictionary", "seed", "branch", "average", "evaluate", "report"}
    every |= {f"{step}.c{number}" for step in ("preprocess", "expert") for number in (0, 1)}
    project.run(every, "day 9, text without labels")
    rows, _, _ = project.shown()
    require("ensemble cluster_prior" in rows, f"rows {rows}")
    shown, _ = run(project.btm, "cluster", "show", project.output / "clusters/model", "--json")
    for cluster in json.loads(shown)["clusters"]:
        stops = {"the", "of", "and", "in", "to", "is", "or"} & set(cluster["terms"])
        require(not stops, f"stop words are terms: {stops}")
        require(cluster["samples"], "no sample documents")
    project.edit("number = 2\n", "number = 2\nnames = first, second\n")
    project.run({"evaluate", "report"}, "day 10, the clusters get names")
    rows, domains, _ = project.shown()
    require(domains == ["first", "second"] and "c0" not in rows, f"rows {rows}, columns {domains}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    args = parser.parse_args()
    bin_folder = pathlib.Path(args.bin).resolve()
    with tempfile.TemporaryDirectory(prefix="btm-days-") as temporary:
        folder = pathlib.Path(temporary)
        (folder / "project").mkdir()
        labelled(Project(bin_folder, write_plan(folder / "project", updates=4)))
        unlabelled(bin_folder, folder / "unlabelled")


if __name__ == "__main__":
    sys.exit(main())
