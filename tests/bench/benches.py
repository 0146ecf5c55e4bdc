"""The benchmarks of scripts/bench. Each creates its inputs, runs both programs in turns and adds
rows to the table."""
import dataclasses
import os
import pathlib
import re
import statistics
import subprocess
import sys

from measure import Run, in_turns
from preprocess_bench import bench_preprocess

HERE = pathlib.Path(__file__).resolve().parent
TOKENS_PER_SECOND = r"\(([\d.]+) tokens/s\)"
ARCHITECTURES = {  # layers, width: as in make_model.py
    "transformer_lm_gpt3_small": (12, 768),
    "transformer_lm_gpt3_medium": (24, 1024),
    "transformer_lm_gpt3_xl": (24, 2048),
}


# Flags of eval-lm, and how fast it should be beside the reference in fp32. The model has random
# weights, so that its loss says nothing about their precision; tests hold that to golden losses.
PRECISIONS = {("--bf16",): 2.9, ("--fp32-matmul", "bf16x3"): 1.5}


ENSEMBLE_PRECISIONS = {("--fp32-matmul", "bf16x3"): 1.5, ("--bf16",): 2.8}


@dataclasses.dataclass
class Setting:
    root: pathlib.Path
    work: pathlib.Path
    fairseq: list  # environments
    tokenizers: pathlib.Path  # environment, or None
    runs: int
    threads: int
    quick: bool
    build: str = "build"  # the build tree of the programs
    transformers: str = ""  # PYTHONPATH of transformers and CTranslate2; "": without them

    @property
    def env(self):
        return {
            "OMP_NUM_THREADS": str(self.threads),
            "MKL_NUM_THREADS": str(self.threads),
            "PYTHONWARNINGS": "ignore",
        }

    def btm(self, *args):
        return lambda: Run([self.root / self.build / "bin/btm", *args], self.env)

    def convert(self, *args):
        return lambda: Run([self.root / self.build / "bin/btm-convert", *args], self.env)

    def kernel(self, *args):
        return lambda: Run([self.root / self.build / "bin/bench_kernels", *args], self.env)

    def reference(self, venv, *args):
        return lambda: Run([venv / "bin/python", HERE / "reference.py", *args], self.env)

    def model(self, name, arch, *args):
        """The folder of a model that make_model.py writes once."""
        folder = self.work / name
        if not (folder / "checkpoint_last.pt").exists():
            subprocess.run(
                [
                    sys.executable,
                    HERE / "make_model.py",
                    "--arch",
                    arch,
                    "--out",
                    folder,
                    *map(str, args),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        return folder

    def peak_flops(self):
        """FLOP/s of large fp32 products with the same number of threads: the peak of this
        machine."""
        return self.kernel("sgemm", self.threads)().number(r"([\d.]+) GF/s") * 1e9


def label(venv):
    """ "fairseq" with the version of its torch."""
    version = subprocess.run(
        [venv / "bin/python", "-c", "import torch; print(torch.__version__.split('+')[0])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return f"fairseq 0.12.2, torch {version}"


def fastest(values):
    """The name of the reference with the highest median of tokens/s."""
    return max(
        (name for name in values if not name.startswith("btm")),
        key=lambda name: statistics.median(values[name]["rate"]),
    )


def flops_per_token(arch, vocabulary, length):
    """FLOPs of a forward pass: two per weight, and the two products of causal attention over half
    the length."""
    layers, width = ARCHITECTURES[arch]
    return (
        2 * (12 * layers * width * width + width * vocabulary) + layers * 2 * 2 * width * length / 2
    )


def bench_eval(s, table):
    """eval-lm on the 125M shape, 1024 tokens per sample, on the CPU in fp32, bf16 and bf16x3"""
    arch, length, tokens = "transformer_lm_gpt3_small", 1024, 2048 if s.quick else 8192
    folder = s.model(f"eval-{tokens}", arch, "--tokens", tokens)
    flags = [
        folder / "data-bin",
        "--path",
        folder / "checkpoint_last.pt",
        "--gen-subset",
        "test",
        "--sample-break-mode",
        "none",
        "--tokens-per-sample",
        length,
        "--batch-size",
        2,
    ]
    programs = {"btm": s.btm("eval-lm", *flags)}
    for extra in PRECISIONS:
        programs[" ".join(("btm", *extra))] = s.btm("eval-lm", *flags, *extra)
    for venv in s.fairseq:
        programs[label(venv)] = lambda venv=venv: Run([venv / "bin/fairseq-eval-lm", *flags], s.env)
    peaks = []

    def read(name, run):
        if name == "btm":
            peaks.append(s.peak_flops())
        return {"rate": run.number(TOKENS_PER_SECOND), "peak": run.peak_mib}

    values = in_turns(programs, s.runs, read)
    ours = values["btm"]
    needed = flops_per_token(arch, 50264, length)
    table.add_single(
        "eval-lm 125M: share of the SGEMM peak",
        "of it",
        [rate * needed / peak for rate, peak in zip(ours["rate"], peaks)],
    )
    if s.fairseq:
        other = fastest(values)
        table.add(
            "eval-lm 125M: tokens/s", other, "tokens/s", ours["rate"], values[other]["rate"], 1.5
        )
        table.add(
            "eval-lm 125M: peak memory",
            other,
            "MiB",
            ours["peak"],
            values[other]["peak"],
            0.6,
            at_least=False,
        )
        for extra, target in PRECISIONS.items():
            mine = values[" ".join(("btm", *extra))]
            table.add(
                f"eval-lm 125M, {' '.join(extra)}: tokens/s",
                f"{other}, fp32",
                "tokens/s",
                mine["rate"],
                values[other]["rate"],
                target,
            )


def train_flags(folder, updates, length, sentences, lr="5e-4"):
    return [
        folder / "data-bin",
        "--task",
        "language_modeling",
        "--sample-break-mode",
        "none",
        "--tokens-per-sample",
        length,
        "--batch-size",
        sentences,
        "--optimizer",
        "adam",
        "--adam-betas",
        "(0.9, 0.95)",
        "--adam-eps",
        "1e-7",
        "--clip-norm",
        0.1,
        "--weight-decay",
        0.1,
        "--lr",
        lr,
        "--lr-scheduler",
        "polynomial_decay",
        "--total-num-update",
        updates,
        "--warmup-updates",
        2,
        "--max-update",
        updates,
        "--criterion",
        "cross_entropy",
        "--log-format",
        "json",
        "--log-interval",
        1,
        "--no-save",
        "--disable-validation",
        "--seed",
        1,
        "--num-workers",
        0,
    ]


def training_rate(run, skip, key="wps"):
    """The median of a figure in the rows of the log, without the first few."""
    rates = [float(value) for value in re.findall(rf'"{key}": "?([\d.]+)', run.text)][skip:]
    if not rates:
        sys.exit(f"no {key} in the training log:\n{run.text[-2000:]}")
    return statistics.median(rates)


def train_programs(s, flags):
    programs = {"btm": s.btm("train", *flags, "--save-dir", s.work / "btm-save")}
    for venv in s.fairseq:
        programs[label(venv)] = lambda venv=venv: Run(
            [venv / "bin/fairseq-train", *flags, "--save-dir", s.work / "fairseq-save"], s.env
        )
    return programs


def bench_decode(s, table):
    """writing with the 125M shape on the CPU, beside the memory's read bandwidth"""
    rates = {}
    for rows in (1, 16):
        for products in ("fp32", "bf16"):
            runs = [
                s.kernel("decode", products, rows, 128 if s.quick else 256, s.threads)()
                for _ in range(s.runs)
            ]
            rates[products] = [run.number(r"([\d.]+) decoded tokens/s") for run in runs]
            name = f"decode 125M, {products}, {rows} row" + ("s" if rows > 1 else "")
            table.add_single(f"{name}: tokens/s", "tokens/s", rates[products])
            table.add_single(
                f"{name}: prompt tokens/s",
                "tokens/s",
                [run.number(r"([\d.]+) prompt tokens/s") for run in runs],
            )
            if rows == 1:
                table.add_single(
                    f"{name}: share of the read bandwidth",
                    "of it",
                    [run.number(r"([\d.]+) of [\d.]+ GB/s") for run in runs],
                )
        table.add(
            f"decode 125M, {rows} row{'s' if rows > 1 else ''}: bf16",
            "fp32",
            "tokens/s",
            rates["bf16"],
            rates["fp32"],
            1.8,
        )


def bench_train(s, table):
    """training the 125M shape (forward, backward, Adam) on the CPU, in fp32 and bf16"""
    arch, length, updates = (
        "transformer_lm_gpt3_small",
        256 if s.quick else 512,
        4 if s.quick else 6,
    )
    folder = s.model("train", arch, "--tokens", 32768, "--splits", "train,valid")
    flags = train_flags(folder, updates, length, 2) + ["--arch", arch]
    peaks = []

    def read(name, run):
        if name == "btm":
            peaks.append(s.peak_flops())
        return {"rate": training_rate(run, 2), "peak": run.peak_mib}

    programs = train_programs(s, flags)
    for flag in ("--bf16", "--memory-efficient-bf16"):
        programs[f"btm {flag}"] = s.btm("train", *flags, flag, "--save-dir", s.work / "btm-save")
    values = in_turns(programs, s.runs, read)
    ours = values["btm"]
    needed = 3 * flops_per_token(arch, 50264, length)  # a backward pass computes each product twice
    table.add_single(
        "train 125M: share of the SGEMM peak",
        "of it",
        [rate * needed / peak for rate, peak in zip(ours["rate"], peaks)],
    )
    if s.fairseq:
        other = fastest(values)
        table.add(
            "train 125M: tokens/s", other, "tokens/s", ours["rate"], values[other]["rate"], 1.5
        )
        table.add(
            "train 125M: peak memory",
            other,
            "MiB",
            ours["peak"],
            values[other]["peak"],
            0.6,
            at_least=False,
        )
        for flag in ("--bf16", "--memory-efficient-bf16"):
            mine = values[f"btm {flag}"]
            table.add(
                f"train 125M, {flag}: tokens/s",
                f"{other}, fp32",
                "tokens/s",
                mine["rate"],
                values[other]["rate"],
                2.1,
            )
            table.add(
                f"train 125M, {flag}: peak memory",
                f"{other}, fp32",
                "MiB",
                mine["peak"],
                values[other]["peak"],
                None,
            )


def bench_tiny(s, table):
    """training a tiny model: overhead, not arithmetic"""
    folder = s.model(
        "train", "transformer_lm_gpt3_small", "--tokens", 32768, "--splits", "train,valid"
    )
    small = s.work / "tiny-data"
    if not small.exists():
        subprocess.run(
            [
                sys.executable,
                HERE / "make_model.py",
                "--arch",
                "transformer_lm_gpt3_small",
                "--vocabulary",
                "2112",
                "--tokens",
                "65536",
                "--splits",
                "train,valid",
                "--out",
                small,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    del folder
    updates = 50 if s.quick else 200
    flags = train_flags(small, updates, 128, 2) + [
        "--arch",
        "transformer_lm_gpt3_small",
        "--decoder-layers",
        2,
        "--decoder-embed-dim",
        64,
        "--decoder-ffn-embed-dim",
        256,
        "--decoder-attention-heads",
        4,
    ]
    values = in_turns(
        train_programs(s, flags), s.runs, lambda name, run: {"rate": training_rate(run, 10, "ups")}
    )
    if s.fairseq:
        other = fastest(values)
        table.add(
            "train tiny model: updates/s",
            other,
            "updates/s",
            values["btm"]["rate"],
            values[other]["rate"],
            3,
        )


def bench_ensemble(s, table):
    """an ensemble of 8 experts of the 125M shape, all of them and the two best"""
    experts = 2 if s.quick else 8
    paths = [
        s.model(f"expert-{i}", "transformer_lm_gpt3_small", "--tokens", 2048, "--seed", i + 1)
        / "checkpoint_last.pt"
        for i in range(experts)
    ]
    data = paths[0].parent / "data-bin"
    blocks, prior = 4, ",".join(str(0.5 if i < 2 else 0) for i in range(experts))
    flags = [
        "ensemble-eval",
        data,
        "--path",
        ":".join(map(str, paths)),
        "--gen-subset",
        "test",
        "--tokens-per-sample",
        512,
        "--batch-size",
        2,
        "--no-score-cache",
    ]  # otherwise only the first run would run the experts
    uniform = ["--ensemble-type", "uniform_prior"]
    sparse = [
        "--ensemble-type",
        "cached_prior",
        "--precomputed-prior",
        prior,
        "--eval-topk",
        2,
        "--sparse",
    ]
    programs = {"btm": s.btm(*flags, *uniform), "two": s.btm(*flags, *sparse)}
    for extra in ENSEMBLE_PRECISIONS:
        programs[" ".join(extra)] = s.btm(*flags, *uniform, *extra)
    for venv in s.fairseq:
        programs[label(venv)] = s.reference(venv, "ensemble", "--blocks", blocks, *paths)
    values = in_turns(
        programs,
        s.runs,
        lambda name, run: {
            "rate": run.number(TOKENS_PER_SECOND),
            "seconds": run.seconds,
            "peak": run.peak_mib,
        },
    )
    if s.fairseq:
        other = max(
            (n for n in values if n.startswith("fairseq")),
            key=lambda n: statistics.median(values[n]["rate"]),
        )
        table.add(
            f"ensemble of {experts}: tokens/s",
            f"reference's maths, {other}",
            "tokens/s",
            values["btm"]["rate"],
            values[other]["rate"],
            1.15,
        )
        for extra, target in ENSEMBLE_PRECISIONS.items():
            table.add(
                f"ensemble of {experts}, {' '.join(extra)}: tokens/s",
                f"reference's maths, {other}, fp32",
                "tokens/s",
                values[" ".join(extra)]["rate"],
                values[other]["rate"],
                target,
            )
        table.add(
            f"ensemble of {experts}: peak memory",
            f"reference's maths, {other}",
            "MiB",
            values["btm"]["peak"],
            values[other]["peak"],
            None,
        )
    table.add(
        f"best 2 of {experts}: time per token",
        "all",
        "tokens/s",
        values["btm"]["rate"],
        values["two"]["rate"],
        2 / experts * 1.1,
        at_least=False,
    )


def bench_open(s, table):
    """opening a 1.3B checkpoint with optimizer state and scoring 17 tokens"""
    arch = "transformer_lm_gpt3_small" if s.quick else "transformer_lm_gpt3_xl"
    folder = s.model("open", arch, "--tokens", 512, "--optimizer", "--dtype", "float16")
    path = folder / "checkpoint_last.pt"
    flags = [
        "eval-lm",
        folder / "data-bin",
        "--path",
        path,
        "--gen-subset",
        "test",
        "--tokens-per-sample",
        17,
        "--batch-size",
        1,
        "--num-shards",
        100,
        "--quiet",
    ]
    programs = {"btm": s.btm(*flags)}
    venv = s.fairseq[0] if s.fairseq else None
    if venv:
        programs["torch.load"] = s.reference(venv, "open", path)
        programs["torch.load(mmap=True)"] = s.reference(venv, "open", "--mmap", path)
    values = in_turns(
        programs,
        s.runs,
        lambda name, run: {
            "seconds": run.seconds if name == "btm" else run.number(r"scored in ([\d.]+) s"),
            "peak": run.peak_mib,
        },
    )
    if venv:
        for name, target in (("torch.load", 10), ("torch.load(mmap=True)", 1.5)):
            table.add(
                "open 1.3B and score: time",
                name,
                "s",
                values["btm"]["seconds"],
                values[name]["seconds"],
                None,
                ratio=None,
            )
            speed = [b / a for a, b in zip(values["btm"]["seconds"], values[name]["seconds"])]
            table.add(
                "open 1.3B and score: speed",
                name,
                "s",
                values["btm"]["seconds"],
                values[name]["seconds"],
                target,
                ratio=speed,
            )


def bench_average(s, table):
    """averaging 8 checkpoints of the 350M shape"""
    arch = "transformer_lm_gpt3_small" if s.quick else "transformer_lm_gpt3_medium"
    count = 2 if s.quick else 8
    paths = [
        s.model(f"average-{i}", arch, "--tokens", 512, "--seed", i + 1) / "checkpoint_last.pt"
        for i in range(count)
    ]
    out = s.work / "averaged"
    weights = ",".join([str(1 / count)] * count)
    copy = s.work / "copied"
    programs = {
        "btm": s.btm(
            "average",
            "--output-dir",
            out,
            "--weights",
            weights,
            "--model-files",
            ":".join(map(str, paths)),
        ),
        "cat": lambda: Run(["sh", "-c", 'cat "$@" > "$0"; sync "$0"', copy, *paths], s.env),
    }
    venv = s.fairseq[0] if s.fairseq else None
    if venv:
        programs["release"] = s.reference(venv, "average", s.work / "theirs.pt", *paths)
    values = in_turns(
        programs, s.runs, lambda name, run: {"seconds": run.seconds, "peak": run.peak_mib}
    )
    ours = values["btm"]
    if venv:
        speed = [b / a for a, b in zip(ours["seconds"], values["release"]["seconds"])]
        table.add(
            f"average {count} of 350M: speed",
            "the release's way",
            "s",
            ours["seconds"],
            values["release"]["seconds"],
            3,
            ratio=speed,
        )
        table.add(
            f"average {count} of 350M: peak memory",
            "the release's way",
            "MiB",
            ours["peak"],
            values["release"]["peak"],
            0.1,
            at_least=False,
        )
    table.add(
        f"average {count} of 350M: time",
        "cat of the same bytes",
        "s",
        ours["seconds"],
        values["cat"]["seconds"],
        1.5,
        at_least=False,
    )
    for path in (copy, s.work / "theirs.pt"):
        path.unlink(missing_ok=True)


def bench_data_bin(s, table):
    """reading random blocks of a data-bin"""
    folder = s.model(
        "data-bin", "transformer_lm_gpt3_small", "--tokens", 1 << (18 if s.quick else 22)
    )
    prefix = folder / "data-bin/test"
    programs = {"btm": s.kernel("data-bin", prefix)}
    if s.fairseq:
        programs["fairseq"] = s.reference(s.fairseq[0], "data-bin", prefix)
    values = in_turns(
        programs, s.runs, lambda name, run: {"rate": run.number(r"([\d.]+) tokens/s")}
    )
    if s.fairseq:
        table.add(
            "data-bin read, random blocks",
            "fairseq's mmap dataset",
            "tokens/s",
            values["btm"]["rate"],
            values["fairseq"]["rate"],
            20,
        )


def bench_build(s, table):
    """building from nothing, and after a change of one source file (without compiler cache)"""
    if s.quick:
        return
    folder = s.work / "build"
    env = {"CCACHE_DISABLE": "1"}
    configure = [
        "cmake",
        "-S",
        s.root,
        "-B",
        folder,
        "-G",
        "Ninja",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DBTM_TESTS=OFF",
    ]
    root = os.environ.get("Torch_ROOT")
    Run(configure + ([f"-DTorch_ROOT={root}"] if root else []), env)
    table.add_single("build from nothing", "s", [Run(["cmake", "--build", folder], env).seconds])
    seconds = []
    for source in (
        "btm/model/transformer_lm.cpp",
        "compat/torch/unpickler.cpp",
        "btm/evaluator/eval_lm.cpp",
    )[: s.runs]:
        os.utime(s.root / source)
        seconds.append(Run(["cmake", "--build", folder], env).seconds)
    table.add_single("rebuild after touching one .cpp", "s", seconds, 30)


def bench_gpu(s, table):
    """training and evaluating the 125M shape on a GPU (preset cuda), compared with its matrix
    products"""
    s = dataclasses.replace(s, build="build-cuda")
    arch, length, sentences = "transformer_lm_gpt3_small", 1024, 2 if s.quick else 32
    updates = 6 if s.quick else 30
    folder = s.model(
        "gpu", arch, "--tokens", 4 * sentences * length * (updates + 1), "--splits", "train,test"
    )
    needed = flops_per_token(arch, 50264, length)
    for dtype, flags in (("bfloat16", ["--bf16"]), ("float16", ["--fp16"]), ("float32", [])):
        peak = s.kernel("gpu-matmul", dtype)().number(r"([\d.]+) GF/s") * 1e9
        rates = [
            training_rate(
                s.btm(
                    "train",
                    *train_flags(folder, updates, length, sentences),
                    "--arch",
                    arch,
                    *flags,
                    "--save-dir",
                    s.work / "gpu-save",
                )(),
                5,
            )
            for _ in range(s.runs)
        ]
        table.add_single(f"train 125M on a GPU, {dtype}", "tokens/s", rates)
        table.add_single(
            f"train 125M on a GPU, {dtype}: share of the matmul peak",
            "of it",
            [3 * needed * rate / peak for rate in rates],
        )
        rates = [
            s.btm(
                "eval-lm",
                folder / "data-bin",
                "--path",
                folder / "checkpoint_last.pt",
                "--gen-subset",
                "test",
                "--sample-break-mode",
                "none",
                "--tokens-per-sample",
                length,
                "--batch-size",
                sentences,
                *flags,
            )().number(TOKENS_PER_SECOND)
            for _ in range(s.runs)
        ]
        table.add_single(f"eval-lm 125M on a GPU, {dtype}", "tokens/s", rates)
        table.add_single(
            f"eval-lm 125M on a GPU, {dtype}: share of the matmul peak",
            "of it",
            [needed * rate / peak for rate in rates],
        )


BENCHES = {
    "eval": bench_eval,
    "decode": bench_decode,
    "train": bench_train,
    "tiny": bench_tiny,
    "ensemble": bench_ensemble,
    "open": bench_open,
    "average": bench_average,
    "preprocess": bench_preprocess,
    "data-bin": bench_data_bin,
    "build": bench_build,
    "gpu": bench_gpu,
}
