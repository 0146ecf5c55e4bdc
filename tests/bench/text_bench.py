"""Benchmarks of texts and of what a command costs beside its arithmetic: writing, scoring, another
prior, opening, and the memory of training."""
import dataclasses
import os
import random

from benches import TOKENS_PER_SECOND, fastest, label, train_flags
from measure import Run, in_turns

SMALL = "transformer_lm_gpt3_small"


def dictionary_of(folder):
    return folder / "data-bin/dict.txt"


def write_lines(path, dictionary, count, shortest, longest):
    """Lines of random words."""
    words = [line.split()[0] for line in dictionary.read_text().splitlines()][:20000]
    numbers = random.Random(1)
    path.write_text(
        "".join(
            " ".join(numbers.choices(words, k=numbers.randint(shortest, longest))) + "\n"
            for _ in range(count)
        )
    )
    return path


def text_flags(s, folder):
    return ["--data", folder / "data-bin", "--bpe", "none", "--num-threads", s.threads]


def text_reference(s, command, model, lines, dictionary, batch=1):
    """A command of text_reference.py. s.transformers is what PYTHONPATH has to be."""
    python = s.fairseq[0] / "bin/python"
    script = os.path.join(os.path.dirname(__file__), "text_reference.py")
    flags = ["--batch", batch, "--threads", s.threads]
    env = {**s.env, "PYTHONPATH": s.transformers or ""}
    return lambda: Run([python, script, command, model, lines, dictionary, *flags], env)


def exported(s, folder):
    """The model in Hugging Face's form."""
    out = folder / "hf"
    if not out.exists():
        s.convert("checkpoint", folder / "checkpoint_last.pt", out, "--to", "hf")()
    return out


def bench_generate(s, table):
    """writing 64 tokens after prompts of 32 with the 125M shape, alone and 16 at once"""
    folder = s.model("text", SMALL, "--tokens", 2048)
    dictionary = dictionary_of(folder)
    for batch, count in ((1, 2 if s.quick else 8), (16, 16)):
        prompts = write_lines(s.work / f"prompts-{batch}", dictionary, count, 32, 32)
        flags = ["--file", prompts, *text_flags(s, folder), "--batch-size", batch]
        flags += ["--min-len", 96, "--max-len-b", 96]
        ours = ["generate", folder / "checkpoint_last.pt", *flags]
        programs = {"btm": s.btm(*ours), "btm --bf16": s.btm(*ours, "--bf16")}
        if s.transformers:
            model = exported(s, folder)
            for name in ("transformers", "ctranslate2"):
                programs[name] = text_reference(s, name, model, prompts, dictionary, batch)
        values = in_turns(
            programs, s.runs, lambda name, run: {"rate": run.number(TOKENS_PER_SECOND)}
        )
        rates = {name: figures["rate"] for name, figures in values.items()}
        name = f"generate 125M, {batch} at once"
        for other in ("transformers", "ctranslate2"):
            if other in rates:
                best = 1.1 if batch == 1 else 1.5
                target = best if other == fastest(values) else None
                table.add(f"{name}", other, "tokens/s", rates["btm"], rates[other], target)
        table.add(f"{name}, --bf16", "fp32", "tokens/s", rates["btm --bf16"], rates["btm"], 1.8)


def bench_score(s, table):
    """scoring 300 short sentences with the 125M shape"""
    folder = s.model("text", SMALL, "--tokens", 2048)
    dictionary = dictionary_of(folder)
    lines = write_lines(s.work / "sentences", dictionary, 30 if s.quick else 300, 8, 56)
    flags = ["score", folder / "checkpoint_last.pt", lines, *text_flags(s, folder)]
    flags += ["--score-eos", "--format", "tsv"]
    programs = {"btm": s.btm(*flags), "btm --bf16": s.btm(*flags, "--bf16")}
    if s.fairseq:
        programs[label(s.fairseq[0])] = text_reference(
            s, "score", folder / "checkpoint_last.pt", lines, dictionary
        )
    values = in_turns(
        programs, s.runs, lambda name, run: {"rate": run.number(r"([\d.,]+) tokens/s")}
    )
    for other in values:
        if not other.startswith("btm"):
            for name in ("btm", "btm --bf16"):
                mine, theirs = values[name]["rate"], values[other]["rate"]
                table.add(f"score 125M: {name}", other, "tokens/s", mine, theirs, None)


def bench_gpu_text(s, table):
    """writing 64 tokens after prompts of 32, and scoring, with the 125M shape on a GPU (preset
    cuda)"""
    s = dataclasses.replace(s, build="build-cuda")
    folder = s.model("text", SMALL, "--tokens", 2048)
    dictionary, model = dictionary_of(folder), folder / "checkpoint_last.pt"
    lines = write_lines(s.work / "gpu-sentences", dictionary, 30 if s.quick else 3000, 8, 56)
    for name, extra in (("fp32", []), ("fp16", ["--fp16"]), ("bf16", ["--bf16"])):
        for batch in (1, 64):
            prompts = write_lines(s.work / f"gpu-prompts-{batch}", dictionary, batch, 32, 32)
            flags = ["--file", prompts, *text_flags(s, folder), "--batch-size", batch, *extra]
            flags += ["--min-len", 96, "--max-len-b", 96]
            runs = [s.btm("generate", model, *flags)() for _ in range(s.runs)]
            rates = [run.number(TOKENS_PER_SECOND) for run in runs]
            table.add_single(f"generate 125M on a GPU, {batch} at once, {name}", "tokens/s", rates)
        flags = [lines, *text_flags(s, folder), "--score-eos", "--format", "tsv", *extra]
        runs = [s.btm("score", model, *flags)() for _ in range(s.runs)]
        rates = [run.number(r"([\d.,]+) tokens/s") for run in runs]
        table.add_single(f"score 125M on a GPU, {name}", "tokens/s", rates)


def bench_prior(s, table):
    """another prior of an ensemble of 8 x 125M whose scores are kept, beside the forward passes"""
    count = 2 if s.quick else 8
    folders = [
        s.model(f"expert-{i}", SMALL, "--tokens", 2048, "--seed", i + 1) for i in range(count)
    ]
    prior = ",".join(["0.3"] + [str(0.7 / (count - 1))] * (count - 1))
    flags = ["ensemble-eval", folders[0] / "data-bin", "--gen-subset", "test"]
    flags += ["--path", ":".join(str(folder / "checkpoint_last.pt") for folder in folders)]
    flags += ["--tokens-per-sample", 512, "--batch-size", 2]
    first, other = [], []
    for i in range(s.runs):
        kept = [*flags, "--score-cache", s.work / f"scores-{i}", "--ensemble-type"]
        first.append(s.btm(*kept, "uniform_prior")().seconds)
        other.append(s.btm(*kept, "cached_prior", "--precomputed-prior", prior)().seconds)
    speed = [a / b for a, b in zip(first, other)]
    table.add("another prior: speed", "the forward passes", "s", other, first, 50, ratio=speed)


def forget(path):
    """Takes a file out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bench_first_token(s, table):
    """opening a 350M checkpoint of fp32 and bf16 to its first scores, cold and warm"""
    arch = SMALL if s.quick else "transformer_lm_gpt3_medium"
    for dtype, flags in (("float32", []), ("bfloat16", ["--bf16"])):
        folder = s.model(f"first-{dtype}", arch, "--tokens", 512, "--dtype", dtype)
        path = folder / "checkpoint_last.pt"
        size = path.stat().st_size / 1e9
        run = ["eval-lm", folder / "data-bin", "--path", path, "--gen-subset", "test", "--quiet"]
        run += ["--tokens-per-sample", 17, "--batch-size", 1, "--num-shards", 100, *flags]
        for state in ("cold", "warm"):
            ours, disk = [], []
            for _ in range(s.runs):
                for program, seconds in ((s.btm(*run), ours), (lambda: read_whole(path), disk)):
                    if state == "cold":
                        forget(path)
                    seconds.append(program().seconds)
            table.add(
                f"open {size:.1f} GB of {dtype}, {state}: speed",
                "reading the file",
                "GB/s",
                [size / value for value in ours],
                [size / value for value in disk],
                None,
            )


def read_whole(path):
    return Run(["dd", f"if={path}", "of=/dev/null", "bs=8M", "status=none"])


def bench_memory(s, table):
    """the peak memory of training the 125M shape"""
    folder = s.model("train", SMALL, "--tokens", 32768, "--splits", "train,valid")
    for length, sentences in ((1024, 1), (512, 2)):
        shape = train_flags(folder, 3, length, sentences) + ["--arch", SMALL]
        programs = {}
        for name, flags in {
            "": [],
            ", no clipping": ["--clip-norm", 0],
            ", no clipping, --checkpoint-activations": [
                "--clip-norm",
                0,
                "--checkpoint-activations",
            ],
        }.items():
            programs[f"btm{name}"] = s.btm("train", *shape, *flags, "--save-dir", s.work / "save")
        if s.fairseq:
            program = s.fairseq[0] / "bin/fairseq-train"
            programs[label(s.fairseq[0])] = lambda shape=shape: Run(
                [program, *shape, "--save-dir", s.work / "fairseq-save"], s.env
            )
        values = in_turns(
            programs,
            s.runs,
            lambda name, run: {"peak": run.peak_mib, "rate": run.number(r'"wps": "?([\d.]+)')},
        )
        for other in values:
            if other.startswith("btm"):
                continue
            for name in values:
                if not name.startswith("btm"):
                    continue
                measure = f"train 125M, {sentences} x {length}{name[3:]}"
                mine, theirs = values[name], values[other]
                target = 0.62 if name == "btm" else 0.55
                table.add(
                    f"{measure}: peak memory",
                    other,
                    "MiB",
                    mine["peak"],
                    theirs["peak"],
                    target,
                    at_least=False,
                )
                table.add(
                    f"{measure}: tokens/s", other, "tokens/s", mine["rate"], theirs["rate"], None
                )


TEXT = {
    "generate": bench_generate,
    "score": bench_score,
    "prior": bench_prior,
    "first-token": bench_first_token,
    "memory": bench_memory,
    "gpu-text": bench_gpu_text,
}
