"""Compares averages of weights with fairseq's, for check_against_fairseq.py: those along a run
(btm average --inputs) and moving ones (btm train --store-ema).

`check(what, ok, detail)` reports a result.
"""
import argparse
import shutil
import subprocess
import sys

import torch

from compare_training import BIN, GOLDEN, HALF_FLAGS, SINGLE_FLAGS, train

TOLERANCE = 1e-6
HALF_TOLERANCE = 2.0**-10  # the last bit of an fp16 number between 1 and 2
EMA = ["--store-ema", "--ema-decay", "0.9"]
FAIRSEQ_ONLY = ["--num-workers", "0", "--valid-subset", "train"]


def load(path):
    return torch.load(path, map_location="cpu", weights_only=False)


def average_as_documented(files):
    """The tensors of fairseq's average: summed in their dtype (fp16: fp32), then divided by the
    number of files, integers rounding down."""
    models = [torch.load(file, map_location="cpu", weights_only=False)["model"] for file in files]
    average = {}
    for name in models[0]:
        tensors = [model[name] for model in models]
        total = tensors[0].float() if tensors[0].dtype == torch.half else tensors[0].clone()
        for tensor in tensors[1:]:
            total += tensor
        whole = not total.is_floating_point()
        average[name] = total // len(files) if whole else total / len(files)
    return average


def check_average(check, folder, script):
    source = "its script" if script else "its documented arithmetic in torch"
    print(f"== averages along a run: btm average and fairseq, by {source}")
    train(
        [str(BIN / "btm"), "train"],
        "fortunes",
        folder / "run",
        [*SINGLE_FLAGS, "--max-update", "30"],
    )
    for name, run in (("a run", folder / "run"), ("all dtypes", GOLDEN / "average_run")):
        flags = ["--inputs", str(run), "--num-update-checkpoints", "3"]
        ours, theirs = folder / "ours.average.pt", folder / "theirs.average.pt"
        subprocess.run(
            [str(BIN / "btm"), "average", *flags, "--output", str(ours)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found = torch.load(ours, map_location="cpu", weights_only=False)["model"]
        if script:
            code = "import runpy, sys; import torch; load = torch.load; "
            code += "torch.load = lambda *a, **k: load(*a, weights_only=False, **k); "
            code += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
            subprocess.run(
                [sys.executable, "-c", code, str(script), *flags, "--output", str(theirs)],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            expected = dict(torch.load(theirs, map_location="cpu", weights_only=False)["model"])
        else:
            files = sorted(
                run.glob("checkpoint_1_*.pt"), key=lambda file: -int(file.stem.rsplit("_", 1)[1])
            )
            expected = average_as_documented(files[:3])
        different = [
            key
            for key in {**expected, **found}
            if key not in expected
            or key not in found
            or expected[key].dtype != found[key].dtype
            or not torch.equal(expected[key], found[key])
        ]
        check(f"{name}: {len(expected)} tensors", not different, ", ".join(different[:3]))


def worst(ours, theirs):
    """The largest difference of two dicts of tensors, or what keeps them from being compared.

    The buffer of sinusoids is uninitialised in fairseq.
    """
    if list(ours) != list(theirs):
        return f"other names: {sorted(set(ours) ^ set(theirs))[:3] or 'in another order'}"
    pairs = [(ours[key], theirs[key]) for key in ours if not key.endswith("_float_tensor")]
    return max(float((a.float() - b.float()).abs().max()) for a, b in pairs)


def report(check, what, ours, theirs, keys=("ema",), tolerance=TOLERANCE):
    """Compares the averages of two checkpoints."""
    found = {
        key: worst(ours["extra_state"][key], theirs["extra_state"][key])
        if key in ours["extra_state"] and key in theirs["extra_state"]
        else "is missing"
        for key in keys
    }
    ok = all(not isinstance(value, str) and value <= tolerance for value in found.values())
    check(what, ok, ", ".join(f"{key} {value}" for key, value in found.items()))


def fairseqs_averages(run, updates, flags):
    """What fairseq's class makes of the weights in the checkpoints of a run, one per update."""
    from fairseq import checkpoint_utils
    from fairseq.dataclass.configs import EMAConfig
    from fairseq.models.ema import build_ema

    parser = argparse.ArgumentParser()
    parser.add_argument("--store-ema", action="store_true")
    for name, kind in (("decay", float), ("start-update", int), ("update-freq", int)):
        default = getattr(EMAConfig(), f"ema_{name.replace('-', '_')}")
        parser.add_argument(f"--ema-{name}", type=kind, default=default)
    parser.add_argument("--ema-fp32", action="store_true")
    known = parser.parse_known_args(flags)[0]
    config = EMAConfig(
        ema_decay=known.ema_decay,
        ema_start_update=known.ema_start_update,
        ema_update_freq=known.ema_update_freq,
        ema_fp32=known.ema_fp32,
    )
    half = "--memory-efficient-fp16" in flags
    data = str(GOLDEN / "data-bin" / "fortunes")
    averages = None
    for update in range(1, updates + 1):
        file = str(run / f"checkpoint_1_{update}.pt")
        (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([file], {"data": data})
        model = model.half() if half else model
        averages = averages or build_ema(model, config, None)
        averages.step(model, update)
    return {"ema": averages.get_model().state_dict(), "ema_fp32_params": averages.fp32_params}


def check_arithmetic(check, folder):
    """The averages in btm's checkpoint, and those of fairseq's class over the same weights."""
    btm = [str(BIN / "btm"), "train"]
    every = ["--save-interval-updates", "1", "--max-update", "40", "--no-save-optimizer-state"]
    fp16 = ["--memory-efficient-fp16", "--fp16-init-scale", "4"]
    start = ["--ema-start-update", "10", "--ema-update-freq", "3"]
    cases = [
        ("fp32", SINGLE_FLAGS, []),
        ("fp32, a later start, every third update", SINGLE_FLAGS, start),
        ("fp32 with --ema-fp32", SINGLE_FLAGS, ["--ema-fp32"]),
        ("fp16", HALF_FLAGS, fp16),
        ("fp16 with --ema-fp32", HALF_FLAGS, [*fp16, "--ema-fp32"]),
    ]
    for number, (name, model, flags) in enumerate(cases):
        run = folder / f"ema.{number}"
        flags = [*EMA, *flags]
        train(btm, "fortunes", run, [*model, *every, *flags])
        theirs = {"extra_state": fairseqs_averages(run, 40, flags)}
        keys = ("ema", "ema_fp32_params") if "--ema-fp32" in flags else ("ema",)
        ours = load(run / "checkpoint_last.pt")
        tolerance = HALF_TOLERANCE if name == "fp16" else TOLERANCE
        report(check, f"averages of 40 updates, {name}", ours, theirs, keys, tolerance)
        shutil.rmtree(run)


def report_runs(check, what, ours, theirs, update):
    """Compares the averages of two runs. They may differ by as much as the weights do."""
    files = [load(run / f"checkpoint_1_{update}.pt") for run in (ours, theirs)]
    weights = worst(files[0]["model"], files[1]["model"])
    what = f"{what} (the weights differ by {weights})"
    report(check, what, *files, ("ema", "ema_fp32_params"), max(TOLERANCE, weights))


def check_runs(check, folder):
    """fairseq-train and btm train from the same weights, and each from the other's checkpoint."""
    fairseq, btm = [sys.executable, "-m", "fairseq_cli.train"], [str(BIN / "btm"), "train"]
    flags = [*SINGLE_FLAGS, *EMA, "--ema-fp32"]
    ours, theirs = folder / "ema.ours", folder / "ema.theirs"
    train(btm, "fortunes", ours, [*flags, "--max-update", "10"])
    theirs.mkdir()
    shutil.copy(ours / "checkpoint_last.pt", theirs)
    for updates, what in ((40, "fairseq-train continues btm's averages"), (50, "both continue")):
        more = [*flags, "--max-update", str(updates)]
        train(btm, "fortunes", ours, more)
        train(fairseq, "fortunes", theirs, [*more, *FAIRSEQ_ONLY])
        report_runs(check, f"{what} to update {updates}", ours, theirs, updates)
    back = folder / "ema.back"
    back.mkdir()
    shutil.copy(theirs / "checkpoint_1_40.pt", back / "checkpoint_last.pt")
    train(btm, "fortunes", back, [*flags, "--max-update", "50"])
    report_runs(check, "btm train continues fairseq's averages to update 50", back, theirs, 50)


def check_moving_averages(check, folder):
    print("== moving averages of the weights: --store-ema")
    check_arithmetic(check, folder)
    check_runs(check, folder)
