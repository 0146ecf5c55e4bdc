#!/usr/bin/env python3
"""The life of an expert in a forest: it is added from each kind of start, continued, listed,
evaluated and removed.

    expert_end_to_end.py --bin FOLDER
"""
import argparse
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))

from small_forest import DOMAINS, GOLDEN, MACHINE, TRAIN, make_forest  # noqa: E402

TRAIN = [*TRAIN, "--disable-validation"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    program = parser.parse_args().bin.resolve() / "btm"
    with tempfile.TemporaryDirectory(prefix="btm-forest-") as name:
        life(program, pathlib.Path(name))
        goes_on_elsewhere(program, pathlib.Path(name) / "project")
    return 0


def goes_on_elsewhere(program, project):
    """An addition goes on after its expert was renamed and after its forest moved."""
    make_forest(project / "forest")
    shutil.copytree(GOLDEN / "data-bin/perl", project / "forest/draft/data-bin")
    shutil.copytree(project / "forest/jargon", project / "seed")

    def run(*args, status=0):
        done = subprocess.run(
            [program, "expert", *map(str, args)], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, (args, done.stdout[-2000:], done.stderr[-2000:])
        return done.stderr

    def add(name, *flags, updates, folder=project, status=0):
        data = ["--data", folder / "forest" / name / "data-bin", "--name", name, *MACHINE]
        last = ["--max-samples", "4", *flags, *TRAIN, "--max-update", updates]
        return run("add", folder / "forest", "perl", *data, *last, status=status)

    add("draft", "--from", project / "seed", updates=1)
    run("rename", project / "forest", "draft", "perl")
    assert "resuming from" in add("perl", "--from", project / "seed", updates=3)

    moved = project.with_name("moved")
    project.rename(moved)
    assert "resuming from" in add("perl", "--from", moved / "seed", updates=4, folder=moved)
    manifest = (moved / "forest/forest.json").read_text()
    assert str(project) not in manifest and str(moved / "seed") in manifest, manifest

    shutil.copytree(moved, project)  # now both are there, and they are two
    errors = add("perl", updates=5, folder=project, status=2)
    assert "was started with --data" in errors, errors


def life(program, folder):
    forest = folder / "forest"
    make_forest(forest)
    before = {domain: (forest / domain / "checkpoint_last.pt").read_bytes() for domain in DOMAINS}

    def run(*args, status=0):
        done = subprocess.run(
            [program, *map(str, args)], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, (
            args,
            done.returncode,
            done.stdout[-2000:],
            done.stderr[-2000:],
        )
        return done

    def add(*flags, updates, status=0):
        return run(
            "expert",
            "add",
            forest,
            "perl",
            "--data",
            GOLDEN / "data-bin/perl",
            *MACHINE,
            "--batch-size",
            "4",
            "--prior-batches",
            "4",
            "--max-samples",
            "4",
            *flags,
            *TRAIN,
            "--max-update",
            updates,
            status=status,
        )

    def listed(name):
        experts = json.loads(run("expert", "list", forest, "--json").stdout)["experts"]
        return next((one for one in experts if one["name"] == name), None)

    # The posterior and the average must equal those of the separate commands.
    add(updates=1)
    perl = listed("perl")
    results = folder / "results.jsonl"
    run(
        "ensemble-eval",
        GOLDEN / "data-bin/perl",
        "--path",
        ":".join(str(forest / domain / "checkpoint_last.pt") for domain in DOMAINS),
        "--ensemble-type",
        "updating_prior",
        "--target-eval",
        "valid_perl",
        "--max-samples",
        "4",
        "--tokens-per-sample",
        "128",
        "--batch-size",
        "4",
        "--results-path",
        results,
        "--no-score-cache",
        *MACHINE,
    )
    posterior = json.loads(results.read_text().splitlines()[-1])["exp_avg_posterior"]
    assert [parent["weight"] for parent in perl["parents"]] == posterior, (perl, posterior)
    assert [parent["model"] for parent in perl["parents"]] == DOMAINS, perl
    assert (perl["start"], perl["updates"], perl["complete"]) == ("posterior", 1, True), perl
    first_ppl = perl["valid_ppl"]

    # The same command with more updates continues from the expert's own checkpoint. Its start is
    # not changed.
    again = add(updates=6)
    assert "resuming from" in again.stderr, again.stderr
    perl = listed("perl")
    assert perl["updates"] == 6 and perl["valid_ppl"] < first_ppl, (perl, first_ppl)
    assert [parent["weight"] for parent in perl["parents"]] == posterior, perl
    add("--from", "jargon", updates=6, status=2)

    # All commands accept the paths that the forest prints.
    paths = run("forest", forest, "--paths").stdout.strip()
    assert len(paths.split(":")) == 4, paths
    run("average", "--output-dir", folder / "average", "--model-files", paths)
    run("expert", "remove", forest, "perl", "--delete")
    assert listed("perl") is None and not (forest / "perl").exists()

    # After an interruption the manifest says so, the other experts stay usable, and the same
    # command finishes the training.
    command = [
        program,
        "expert",
        "add",
        forest,
        "perl",
        "--data",
        GOLDEN / "data-bin/perl",
        "--from",
        "nearest",
        *MACHINE,
        "--max-samples",
        "4",
        *TRAIN,
        "--log-format",
        "simple",
        "--log-interval",
        "1",
        "--max-update",
    ]
    with subprocess.Popen(
        [*map(str, command), "100000"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if "num_updates=5" in line:
                process.send_signal(signal.SIGINT)
                break
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM and "the same command resumes" in errors, (
        process.returncode,
        errors,
    )
    perl = listed("perl")
    assert not perl["complete"] and perl["updates"] >= 5 and len(perl["parents"]) == 1, perl
    assert len(run("forest", forest, "--paths").stdout.split(":")) == 3
    updates = perl["updates"] + 1
    run(*command[1:], updates)
    perl = listed("perl")
    assert perl["complete"] and perl["updates"] == updates and perl["start"] == "nearest", perl

    assert {
        domain: (forest / domain / "checkpoint_last.pt").read_bytes() for domain in DOMAINS
    } == before, "another expert was changed"
    print("the whole life of an expert is correct")


if __name__ == "__main__":
    sys.exit(main())
