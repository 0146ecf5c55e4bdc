"""Compares btm average with mergekit-pytorch, for scripts/check-against-mergekit. Exit 1 when
anything differs."""
import pathlib
import subprocess
import sys
import tempfile

from mergekit.scripts.merge_raw_pytorch import SimpleLoaderCache
from mergekit.scripts.merge_raw_pytorch import main as mergekit_pytorch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
BIN = ROOT / "build" / "bin"
TOLERANCE = 1e-6
EXPERTS = ["elm_fortunes", "elm_jargon", "elm_perl"]
BASE = "seed"
THREE = [0.5, 0.3, 0.2]
# method, weights or number of models, base, flags of btm, parameters of mergekit; "each" are those
# of every model
CASES = [
    ("linear", THREE, False, [], {}),
    ("nuslerp", [0.7, 0.3], False, [], {}),
    ("nuslerp", [0.7, 0.3], True, [], {}),
    ("multislerp", THREE, False, [], {}),
    ("multislerp", THREE, True, [], {}),
    ("karcher", 3, False, [], {}),
    ("karcher", 3, False, ["--max-iter", "2"], {"max_iter": 2}),
    ("model_stock", 3, True, [], {}),
    ("ties", THREE, True, ["--ties-trim", "tensor", "--density", "0.4"], {"density": 0.4}),
    ("breadcrumbs", THREE, True, ["--density", "0.5"], {"density": 0.5}),
    (
        "breadcrumbs",
        [1, -0.5],
        True,
        ["--density", "0.9,0.2", "--gamma", "0.3"] + ["--lambda", "0.7"],
        {"each": {"density": [0.9, 0.2]}, "gamma": 0.3, "lambda": 0.7},
    ),
    ("breadcrumbs_ties", THREE, True, ["--density", "0.6"], {"density": 0.6}),
    (
        "breadcrumbs_ties",
        THREE,
        True,
        ["--density", "0.6", "--normalize"],
        {"density": 0.6, "normalize": "true"},
    ),
    ("dare_linear", THREE, True, [], {}),
    ("dare_ties", THREE, True, [], {}),
    ("della", THREE, True, ["--lambda", "0.5"], {"lambda": 0.5}),
    ("della_linear", THREE, True, [], {}),
    ("sce", 3, True, [], {}),
    ("sce", 3, True, ["--select-topk", "0.3"], {"select_topk": 0.3}),
]
# Configurations with filters and the like, but without gradients: mergekit-pytorch knows no layers
# and takes the first value. {0} is the base, and {1} to {3} are the experts.
CONFIGS = [
    """merge_method: slerp  # with filters
dtype: float32
base_model: {0}
models: [{{model: {1}}}, {{model: {0}}}]
parameters:
  t:
    - {{filter: self_attn, value: 0.3}}
    - {{filter: fc1, value: 0.9}}
    - {{filter: layers.1.fc2, value: 1}}
    - value: 5e-1
""",
    """merge_method: ties  # with the base among the models
dtype: float32
base_model: {0}
models:
  - model: {0}
  - model: {1}
    parameters:
      density: "0.7"
      weight: [{{filter: fc, value: 0.2}}, {{value: 1}}]
  - model: {2}
    parameters: {{weight: {{filter: self_attn, value: 2}}}}
  - {{model: {3}}}
parameters: {{weight: 0.5, density: 0.2, normalize: no, rescale: yes, int8_mask: true, lambda: 1.5}}
""",
    """merge_method: linear  # with weights that do not sum to 1
dtype: float32
models:
  - {{model: {1}, parameters: {{weight: -1}}}}
  - {{model: {2}, parameters: {{weight: 3}}}}
parameters: {{normalize: false}}
""",
    """merge_method: task_arithmetic  # normalized
dtype: float32
base_model: {0}
models:
  - {{model: {1}, parameters: {{weight: 3}}}}
  - {{model: {2}, parameters: {{weight: 2}}}}
parameters: {{normalize: true, lambda: 0.9}}
""",
    """merge_method: dare_linear  # normalized
dtype: float32
base_model: {0}
models: [{{model: {1}}}, {{model: {2}}}]
parameters: {{weight: 3, normalize: true}}
""",
    """merge_method: breadcrumbs  # rescaled
dtype: float32
base_model: {0}
models: [{{model: {1}}}, {{model: {2}}}]
parameters: {{weight: 0.7, rescale: true, density: 0.5, gamma: 0.1}}
""",
    """merge_method: multislerp  # not normalized
dtype: float32
models: [{{model: {1}}}, {{model: {2}}}]
parameters: {{weight: 0.4, normalize_weights: false}}
""",
]
# Methods that draw masks: density, and more parameters. One model of weight 1.
DRAWN = [
    ("dare_linear", 0.3, {}),
    ("dare_ties", 0.3, {"rescale": "false"}),
    ("della", 0.4, {"epsilon": 0.2}),
    ("della_linear", 0.4, {"epsilon": 0.2, "rescale": "false"}),
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


def as_config(files, method, models, weights, base, parameters):
    """The text of mergekit's configuration file."""
    each = {"weight": weights} if weights else {}
    each |= parameters.get("each", {})
    shared = {key: value for key, value in parameters.items() if key != "each"}
    lines = [f"merge_method: {method}", "dtype: float32", "models:"]
    for i, name in enumerate(models):
        lines.append(f"  - model: {files[name]}")
        if each:
            lines.append("    parameters:")
            lines += [f"      {key}: {values[i]}" for key, values in each.items()]
    if base:
        lines.append(f"base_model: {files[BASE]}")
    if shared:
        lines.append("parameters:")
        lines += [f"  {key}: {value}" for key, value in shared.items()]
    return "\n".join(lines) + "\n"


def by_mergekit(folder, config):
    file, out = folder / "config.yml", folder / "theirs"
    file.write_text(config)
    SimpleLoaderCache().loaders.clear()
    mergekit_pytorch.main([str(file), str(out)], standalone_mode=False)
    found = {}
    for part in out.glob("*.safetensors"):
        found.update(load_file(part))
    return found


def tensors_of(folder, command):
    """What `btm average` with these flags writes."""
    command = [
        str(BIN / "btm"),
        "average",
        "--overwrite",
        "--output-dir",
        str(folder / "ours"),
    ] + command
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    out = folder / "ours.safetensors"
    subprocess.run(
        [str(BIN / "btm-convert"), "checkpoint", "--to", "safetensors", "--overwrite"]
        + [str(folder / "ours" / "checkpoint_last.pt"), str(out)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return load_file(out if out.is_file() else next(out.rglob("*.safetensors")))


def by_flags(files, folder, method, models, weights, base, flags):
    command = ["--method", method, *flags]
    command += ["--model-files", ":".join(str(files[name, "btm"]) for name in models)]
    command += ["--weights", ",".join(map(str, weights))] if weights else []
    command += ["--base-model", str(files[BASE, "btm"])] if base else []
    return tensors_of(folder, command)


def by_config(files, folder, config):
    """mergekit's own file, with the paths of btm's models."""
    for name in [*EXPERTS, BASE]:
        config = config.replace(str(files[name]), str(files[name, "btm"]))
    (folder / "ours.yml").write_text(config)
    return tensors_of(folder, ["--config", str(folder / "ours.yml")])


def check(what, ours, theirs):
    worst = max(float((ours[key] - theirs[key]).abs().max()) for key in theirs)
    ok = bool(theirs) and worst <= TOLERANCE
    print(
        f"{'ok  ' if ok else 'FAIL'} {what}: {len(theirs)} tensors within {worst:.1e}", flush=True
    )
    return ok


def statistics(tensors, base, model):
    """Of the differences: the share that is kept, of the larger and of the smaller half of each
    row, and the L1 norm over that of the whole."""
    kept = [0, 0]
    total = after = before = 0
    for name, tensor in tensors.items():
        if tensor.dim() != 2:
            continue
        task, whole = tensor - base[name], model[name] - base[name]
        order = whole.abs().argsort(dim=1)
        half = order.shape[1] // 2
        for i, part in enumerate((order[:, :half], order[:, order.shape[1] - half :])):
            kept[i] += int((task.gather(1, part) != 0).sum())
        total += order.shape[0] * half
        after += float(task.double().abs().sum())
        before += float(whole.double().abs().sum())
    return [kept[0] / total, kept[1] / total, after / before]


def check_drawn(files, folder, method, density, parameters):
    """Masks are not the same, but they are drawn alike."""
    name = EXPERTS[0]
    config = as_config(files, method, [name], [1], True, {"density": density, **parameters})
    flags = [word for key, value in parameters.items() for word in (f"--{key}", str(value))]
    ours = by_flags(files, folder, method, [name], [1], True, ["--density", str(density), *flags])
    base, model = load_file(files[BASE]), load_file(files[name])
    theirs = by_mergekit(folder, config)
    ours = {key: ours[key] for key in theirs}
    ours, theirs = statistics(ours, base, model), statistics(theirs, base, model)
    ok = all(abs(a - b) <= 0.01 for a, b in zip(ours, theirs))
    print(
        f"{'ok  ' if ok else 'FAIL'} masks of {method}: kept, L1 norm {ours} {theirs}", flush=True
    )
    return ok


def main():
    results = []
    with tempfile.TemporaryDirectory() as top:
        files = as_safetensors(pathlib.Path(top))
        for method, weights, base, flags, parameters in CASES:
            count = weights if isinstance(weights, int) else len(weights)
            models, given = EXPERTS[:count], None if isinstance(weights, int) else weights
            what = f"{method} of {count}{' with a base' if base else ''} {' '.join(flags)}".rstrip()
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                config = as_config(files, method, models, given, base, parameters)
                theirs = by_mergekit(folder, config)
                ours = by_flags(files, folder, method, models, given, base, flags)
                results.append(check(what, ours, theirs))
                results.append(check("  by --config", by_config(files, folder, config), theirs))
        for config in CONFIGS:
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                config = config.format(*(files[name] for name in [BASE, *EXPERTS]))
                theirs = by_mergekit(folder, config)
                what = "--config: " + config.partition("\n")[0]
                results.append(check(what, by_config(files, folder, config), theirs))
        for case in DRAWN:
            with tempfile.TemporaryDirectory() as folder:
                results.append(check_drawn(files, pathlib.Path(folder), *case))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
