"""Converts text to data-bins: words against fairseq-preprocess, raw text against the tokenizers'
own programs. One worker each."""
import pathlib
import subprocess
import sys

from measure import Run, in_turns

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE.parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
from sample_text import machine_text  # noqa: E402


def bench_words(s, table, folder, text):
    """Both programs count the words for a dictionary and write a data-bin."""
    model = s.root / "tests/golden/corpus/spm.model"
    (folder / "any.txt").write_text("a 1\n")
    s.convert(
        "preprocess",
        "--validpref",
        text,
        "--srcdict",
        folder / "any.txt",
        "--dataset-impl",
        "raw",
        "--bpe",
        "sentencepiece",
        "--sentencepiece-model",
        model,
        "--destdir",
        folder / "pieces",
    )()
    pieces = folder / "pieces/valid.None-None"

    def flags(out):
        subprocess.run(["rm", "-rf", folder / out], check=True)
        return ["--only-source", "--trainpref", pieces, "--destdir", folder / out, "--workers", 1]

    programs = {"btm": lambda: s.convert("preprocess", *flags("ours"))()}
    for venv in s.fairseq[:1]:
        programs["fairseq"] = lambda venv=venv: Run(
            [venv / "bin/fairseq-preprocess", *flags("theirs")], s.env
        )
    tokens = []

    def read(name, run):
        if name == "btm":
            tokens.append(run.number(r"(\d+) tokens"))
        return {"rate": tokens[0] / run.seconds, "peak": run.peak_mib}

    values = in_turns(programs, s.runs, read)
    if "fairseq" in values:
        table.add(
            "preprocess, words: tokens/s",
            "fairseq-preprocess",
            "tokens/s",
            values["btm"]["rate"],
            values["fairseq"]["rate"],
            20,
        )
        table.add(
            "preprocess, words: peak memory",
            "fairseq-preprocess",
            "MiB",
            values["btm"]["peak"],
            values["fairseq"]["peak"],
            None,
        )


def bench_tokenizers(s, table, folder, text):
    """btm-convert reads, encodes, looks up and writes. The reference's time is only for encoding
    lines in memory."""
    if s.tokenizers is None:
        return
    python = s.tokenizers / "bin/python"
    encoder, merges = subprocess.run(
        [python, HERE / "tokenize_reference.py", "gpt2-files"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    model = s.root / "tests/golden/corpus/spm.model"
    (folder / "gpt2.txt").write_text("".join(f"{number} 1\n" for number in range(50257)))
    sides = {
        "GPT-2 BPE": (
            [
                "--bpe",
                "gpt2",
                "--gpt2-encoder-json",
                encoder,
                "--gpt2-vocab-bpe",
                merges,
                "--srcdict",
                folder / "gpt2.txt",
            ],
            {"tiktoken": 1, "tokenizers": 1},
            [],
        ),
        "sentencepiece": (
            [
                "--bpe",
                "sentencepiece",
                "--sentencepiece-model",
                model,
                "--srcdict",
                s.root / "tests/golden/data-bin/dict.txt",
            ],
            {"sentencepiece": 0.95},
            ["--model", model],
        ),
    }
    for what, (flags, targets, extra) in sides.items():

        def ours(flags=flags):
            subprocess.run(["rm", "-rf", folder / "ours"], check=True)
            return s.convert(
                "preprocess",
                "--validpref",
                text,
                "--destdir",
                folder / "ours",
                "--workers",
                1,
                *flags,
            )()

        programs = {"btm": ours}
        for name in targets:
            programs[name] = lambda name=name: Run(
                [python, HERE / "tokenize_reference.py", name, text, *extra], s.env
            )
        values = in_turns(
            programs, s.runs, lambda name, run: {"rate": run.number(r"([\d.]+) MB/s")}
        )
        for name, target in targets.items():
            table.add(
                f"preprocess, {what}",
                f"{name}, encoding only",
                "MB/s",
                values["btm"]["rate"],
                values[name]["rate"],
                target,
            )


def bench_preprocess(s, table):
    """text to data-bins: words, GPT-2's BPE, sentencepiece; one worker each"""
    folder = s.work / "preprocess"
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "text"
    text.write_bytes(machine_text(1_000_000 if s.quick else 20_000_000))
    bench_words(s, table, folder, text)
    bench_tokenizers(s, table, folder, text)
