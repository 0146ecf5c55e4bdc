"""Compares btm average with mergekit-pytorch, for scripts/check-against-mergekit. Exit 1 when
anything differs."""
import pathlib
import subprocess
import sys
import tempfile

from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
BIN = ROOT / "build" / "bin"
TOLERANCE = 1e-6
EXPERTS = ["elm_fortunes", "elm_jargon", "elm_perl"]
BASE = "seed"
# method, number of models, weights, base, flags of btm, parameters of mergekit
CASES = [
    ("linear", 3, [0.5, 0.3, 0.2], False, [], {}),
    ("nuslerp", 2, [0.7, 0.3], False, [], {}),
    ("nuslerp", 2, [0.7, 0.3], True, [], {}),
    ("multislerp", 3, [0.5, 0.3, 0.2], False, [], {}),
    ("multislerp", 3, [0.5, 0.3, 0.2], True, [], {}),
    ("karcher", 3, None, False, [], {}),
    ("karcher", 3, None, False, ["--max-iter", "2"], {"max_iter": 2}),
    ("model_stock", 3, None, True, [], {}),
]


def as_safetensors(folder):
    """The golden checkpoints as safetensors files, by name; without what both sides leave alone."""
    files = {}
    for name in [*EXPERTS, BASE]:
        out = folder / name
        subprocess.run(
            [str(BIN / "btm-convert"), "checkpoint", "--to", "safetensors"]
            + [str(GOLDEN / "checkpoints" / name / "checkpoint_last.pt"), str(out)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        file = out if out.is_file() else next(out.rglob("*.safetensors"))
        tensors = {key: value for key, value in load_file(file).items() if "version" not in key}
        files[name] = folder / f"{name}.plain.safetensors"
        save_file(tensors, files[name])
        files[name, "btm"] = file
    return files


def by_mergekit(files, folder, method, models, weights, base, parameters):
    lines = [f"merge_method: {method}", "dtype: float32", "models:"]
    for i, name in enumerate(models):
        lines.append(f"  - model: {files[name]}")
        if weights:
            lines += ["    parameters:", f"      weight: {weights[i]}"]
    if base:
        lines.append(f"base_model: {files[BASE]}")
    if parameters:
        lines.append("parameters:")
        lines += [f"  {key}: {value}" for key, value in parameters.items()]
    config, out = folder / "config.yml", folder / "theirs"
    config.write_text("\n".join(lines) + "\n")
    command = [str(pathlib.Path(sys.executable).parent / "mergekit-pytorch"), str(config), str(out)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}:\n{run.stdout[-2000:]}")
    found = {}
    for file in out.glob("*.safetensors"):
        found.update(load_file(file))
    return found


def by_btm(files, folder, method, models, weights, base, flags):
    command = [
        str(BIN / "btm"),
        "average",
        "--method",
        method,
        "--output-dir",
        str(folder / "ours"),
    ]
    command += ["--model-files", ":".join(str(files[name, "btm"]) for name in models), *flags]
    command += ["--weights", ",".join(map(str, weights))] if weights else []
    command += ["--base-model", str(files[BASE, "btm"])] if base else []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    out = folder / "ours.safetensors"
    subprocess.run(
        [str(BIN / "btm-convert"), "checkpoint", "--to", "safetensors"]
        + [str(folder / "ours" / "checkpoint_last.pt"), str(out)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return load_file(out if out.is_file() else next(out.rglob("*.safetensors")))


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as top:
        files = as_safetensors(pathlib.Path(top))
        for method, count, weights, base, flags, parameters in CASES:
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                models = EXPERTS[:count]
                theirs = by_mergekit(files, folder, method, models, weights, base, parameters)
                ours = by_btm(files, folder, method, models, weights, base, flags)
            worst = max(float((ours[key] - theirs[key]).abs().max()) for key in theirs)
            ok = bool(theirs) and worst <= TOLERANCE
            failed += not ok
            what = f"{method} of {count}{' with a base' if base else ''} {' '.join(flags)}".rstrip()
            print(f"{'ok  ' if ok else 'FAIL'} {what}: {len(theirs)} tensors within {worst:.1e}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
