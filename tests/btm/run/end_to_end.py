#!/usr/bin/env python3
"""Runs `btm run` from text to report on a tiny plan. The result must not depend on how the steps
are run.

    end_to_end.py --bin FOLDER whole     one run, then a second: nothing is done twice, and a failed
                                         step is named and retried
    end_to_end.py --bin FOLDER killed    interrupted and killed at random moments, and continued
                                         each time
    end_to_end.py --bin FOLDER slurm     on Slurm with one node; one expert is requeued and another
                                         one killed

Exit 77 (skipped) for slurm when it is not installed or this is not root.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
CORPUS = ROOT / "tests/golden/corpus"
DOMAINS = ["fortunes", "perl"]
SKIPPED = 77


def write_plan(folder, updates=12, more=""):
    """Two domains, a model of a few thousand parameters."""
    for domain in DOMAINS:
        text = folder / "text" / domain
        text.mkdir(parents=True, exist_ok=True)
        lines = (CORPUS / domain / "test.txt").read_text().splitlines(keepends=True)
        shutil.copy(CORPUS / domain / "valid.txt", text / "train.txt")
        (text / "valid.txt").write_text("".join(lines[:12]))
        (text / "test.txt").write_text("".join(lines[12:30]))
    shape = "--decoder-layers 1 --decoder-embed-dim 16 --decoder-attention-heads 2"
    plan = folder / "tiny.plan"
    plan.write_text(
        f"""[data]
domains = {", ".join(DOMAINS)}
text = text/{{domain}}
[tokeniser]
model = {CORPUS / "spm.model"}
[model]
tokens_per_sample = 32
flags = {shape} --decoder-ffn-embed-dim 32 --cpu --num-threads 1
[train]
updates = {updates}
lr = 1e-2
log_interval = 1
[evaluate]
flags = --resamples 20 --num-threads 1 --cpu
{more}"""
    )
    return plan


def btm_run(btm, plan, *flags):
    return subprocess.Popen(
        [btm, "run", str(plan), "--no-progress-bar", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=400)
    return process.returncode, out, err


def numbers(plan):
    """The results of the run, without paths."""
    matrix = json.loads((plan.parent / "tiny-out/eval/matrix.json").read_text())
    return {
        row["name"]: {domain: cell["ppl"] for domain, cell in row["cells"].items()}
        for row in matrix["rows"]
    }


def require(condition, message):
    if not condition:
        sys.exit("end_to_end.py: " + message)


def complete(btm, plan, *flags):
    status, out, err = finish(btm_run(btm, plan, *flags))
    require(status == 0, f"btm run ended with {status}:\n{err}")
    return out, err


def reference(btm, folder, more=""):
    plan = write_plan(folder, more=more)
    complete(btm, plan, "--jobs", "2")
    return numbers(plan)


TEXTS = (
    "[generate]\nprompts = prompts.txt\nflags = --sampling --max-len-b 8 --cpu --num-threads 1\n"
)


# Every way to one model.
ONE_MODEL = """[experts]
along_run = 2
tune = 3
tune_flags = --batch-size 8 --cpu --num-threads 1
[mix]
updates = 4
flags = --cpu --num-threads 1 --router-tokens 64
"""


def test_whole(btm, folder):
    (folder / "prompts.txt").write_text("The function returns\nA man\n")
    plan = write_plan(folder, more=TEXTS + ONE_MODEL)
    out, err = complete(btm, plan, "--jobs", "2")
    require("ensemble cached_prior" in out and "report:" in out, f"no table in:\n{out}")
    found = numbers(plan)
    require(
        set(found)
        == {
            "seed",
            *DOMAINS,
            "dense",
            "dense averaged",
            "average",
            "tuned average",
            "mixture",
            "ensemble cached_prior",
            "ensemble updating_prior",
            "ensemble simple_average",
        },
        f"rows: {sorted(found)}",
    )
    report = (folder / "tiny-out/report.html").read_text()
    parts = ("Perplexity", "Training loss", "Cost of training", "Posterior over the batches")
    parts += ("Size and cost", "Which domain goes to which expert", "Layer 0")
    for part in (*parts, "weights when each token came"):
        require(part in report, f"the report has no '{part}'")
    summary = json.loads((folder / "tiny-out/summary.json").read_text())
    cost = {row["name"]: row["tokens"] for row in summary["trainings"]}
    require(sum(cost[domain] for domain in DOMAINS) == cost["dense"], f"unequal compute: {cost}")

    sizes = summary["models"]
    require(
        sizes["average"]["training_cost"] == sizes["dense"]["training_cost"]
        and sizes["mixture"]["training_cost"] > sizes["dense"]["training_cost"]
        and sizes["mixture"]["parameters"] > sizes["dense"]["parameters"]
        and sizes["ensemble cached_prior"]["parameters"] == 2 * sizes["dense"]["parameters"],
        f"sizes and costs: {sizes}",
    )

    out, err = complete(btm, plan)
    require("start" not in err, f"something was done twice:\n{err}")
    os.utime(folder / "text/perl/train.txt")
    _, err = complete(btm, plan)
    require("start" not in err, f"a new time alone made work:\n{err}")

    damaged_and_replaced(btm, plan, found)

    # Another learning rate of the experts. The steps before them are kept.
    text = plan.read_text()
    plan.write_text(text.replace("[experts]", "[experts]\naverage = no"))
    _, err = complete(btm, plan)
    require(
        "start seed" not in err and "start evaluate" in err,
        f"expected only the evaluation again:\n{err}",
    )
    late = "--decoder-layers 1 --store-ema --ema-seed-model gone.pt"
    plan.write_text(text.replace("--decoder-layers 1", late))
    status, _, err = finish(btm_run(btm, plan))
    require(
        status == 1 and "step seed failed" in err and "gone.pt" in err and "logs/seed.log" in err,
        f"status {status}:\n{err}",
    )
    plan.write_text(text)
    complete(btm, plan)
    require(numbers(plan) == found, "the numbers changed")


def damaged_and_replaced(btm, plan, found):
    """Outputs that changed since their steps are made again, from the start."""
    output = plan.parent / "tiny-out"
    expert, other = (output / "experts" / domain / "checkpoint_last.pt" for domain in DOMAINS)
    whole = expert.read_bytes()
    shutil.copy(other, expert)
    _, err = complete(btm, plan)
    require(
        f"start expert.{DOMAINS[0]}" in err and "start seed" not in err,
        f"expected the replaced expert again:\n{err}",
    )
    complete(btm, plan, "--redo", "evaluate")
    require(numbers(plan) == found, "the expert that was trained again is another")
    whole = expert.read_bytes()
    expert.write_bytes(whole[:1000] + b"x" + whole[1001:])
    times = expert.stat()
    _, err = complete(btm, plan)
    require(f"start expert.{DOMAINS[0]}" in err, f"expected the damaged expert again:\n{err}")
    expert.write_bytes(whole[:1000] + b"x" + whole[1001:])
    os.utime(expert, ns=(times.st_atime_ns, times.st_mtime_ns))
    _, err = complete(btm, plan, "--check")
    require(
        f"start expert.{DOMAINS[0]}" in err and " 0 known by size" in err,
        f"expected all to be read:\n{err}",
    )


def test_killed(btm, folder):
    expected = reference(btm, folder / "whole", ONE_MODEL)
    plan = write_plan(folder / "killed", more=ONE_MODEL)
    random.seed(1)
    kills = 0
    for attempt in range(60):
        process = btm_run(btm, plan, "--jobs", "2")
        try:
            process.wait(timeout=random.uniform(0.2, 2.5))
        except subprocess.TimeoutExpired:
            kills += 1
            process.send_signal(
                random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]) if kills <= 10 else 0
            )
        status, _, err = finish(process)
        if status == 0:
            break
    require(kills >= 3, f"only {kills} kills: the plan is too short for this test")
    require(
        numbers(plan) == expected, f"after {kills} kills:\n{numbers(plan)}\nexpected\n{expected}"
    )
    print(f"the same numbers after {min(kills, 10)} kills")


def wait_for(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    sys.exit(f"end_to_end.py: waited {seconds} s for {what}")


def running_expert(output):
    """The Slurm id of the running job of an expert."""
    jobs = (
        json.loads((output / "steps/slurm.jobs").read_text())
        if (output / "steps/slurm.jobs").exists()
        else {}
    )
    queue = subprocess.run(
        ["squeue", "-h", "-r", "-o", "%i|%T"], capture_output=True, text=True
    ).stdout.split()
    for step, (job, _) in sorted(jobs.items()):
        if (
            step.startswith("expert.")
            and f"{job}|RUNNING" in queue
            and (output / f"logs/{step}.log").exists()
        ):
            return step, job
    return None


def test_slurm_inside(btm, folder):
    """With SLURM_CONF set."""
    expected = reference(btm, folder / "whole")
    plan = write_plan(folder / "slurm")
    output = folder / "slurm/tiny-out"
    process = btm_run(btm, plan, "--executor", "slurm")
    step, job = wait_for(lambda: running_expert(output), "an expert to run")
    subprocess.run(["scontrol", "requeue", job], check=True)
    print(f"requeued {step} (job {job})")
    time.sleep(0.5)
    other = running_expert(output)
    if other:
        subprocess.run(["scancel", "--signal=KILL", "--full", other[1]], check=True)
        print(f"killed {other[0]} (job {other[1]})")
    status, out, err = finish(process)
    require(status == 0, f"btm run ended with {status}:\n{err}")
    require("PENDING" in err and "RUNNING" in err, f"no states in:\n{err}")
    require(
        numbers(plan) == expected, f"other numbers on Slurm: {numbers(plan)}\nexpected {expected}"
    )


def test_slurm(btm, folder):
    programs = [
        shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")
        for name in ("slurmctld", "slurmd", "munged", "sbatch")
    ]
    if not all(programs) or os.geteuid() != 0:
        print("skipped: slurm-wlm and munge are not installed, or this is not root")
        sys.exit(SKIPPED)
    inside = subprocess.run(
        [
            ROOT / "scripts/slurm-test-cluster",
            "run",
            sys.executable,
            __file__,
            "--bin",
            str(pathlib.Path(btm).parent),
            "--folder",
            str(folder),
            "slurm-inside",
        ]
    )
    sys.exit(inside.returncode)


TESTS = {
    "whole": test_whole,
    "killed": test_killed,
    "slurm": test_slurm,
    "slurm-inside": test_slurm_inside,
}


def main():
    # A shell starts background jobs with SIGINT ignored, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--folder", help="where to work (default: a temporary one)")
    parser.add_argument("test", choices=TESTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="btm-run-") as temporary:
        folder = pathlib.Path(args.folder or temporary)
        for name in ("whole", "killed", "slurm"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        TESTS[args.test](str(pathlib.Path(args.bin).resolve() / "btm"), folder)


if __name__ == "__main__":
    main()
