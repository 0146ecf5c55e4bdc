"""Compares tokenizers. scripts/check-tokenizers runs it. Exit 1 when anything differs."""
import argparse
import pathlib
import subprocess
import sys
import tempfile

from reference_tokenizers import (
    gpt2_files,
    sentencepiece_processor,
    tiktoken_encoding,
    tokenizers_tokenizer,
)
from sample_text import awkward_lines, machine_text

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCH = 2000


def ours(folder, text, flags):
    """The lines of symbols that btm-convert writes for the lines of a file."""
    (folder / "dict.txt").write_text("a 1\n")
    subprocess.run(
        [
            str(ROOT / "build/bin/btm-convert"),
            "preprocess",
            "--validpref",
            str(text),
            "--srcdict",
            str(folder / "dict.txt"),
            "--destdir",
            str(folder / "out"),
            "--dataset-impl",
            "raw",
            "--keep-empty",
            "--workers",
            "2",
            *flags,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return open(folder / "out/valid.None-None", encoding="utf-8", newline="\n")


def differences(found, lines, encode):
    """The number of lines that differ, the first of them, and the number of symbols."""
    count, first, symbols = 0, "", 0
    for start in range(0, len(lines), BATCH):
        batch = lines[start : start + BATCH]
        for line, expected in zip(batch, encode(batch)):
            got = next(found, None)
            symbols += len(expected)
            if got is None or got.rstrip("\n").split(" ") != (expected or [""]):
                count += 1
                first = first or f"first: {line[:60]!r}"
    return count + sum(1 for _ in found), first, symbols


def text_of(ids):
    return [[str(number) for number in line] for line in ids]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=100)
    args = parser.parse_args()
    encoder, merges = gpt2_files()
    model = ROOT / "tests/golden/corpus/spm.model"
    tiktoken, hugging, pieces = (
        tiktoken_encoding(encoder, merges),
        tokenizers_tokenizer(encoder, merges),
        sentencepiece_processor(model),
    )
    gpt2 = ["--bpe", "gpt2", "--gpt2-encoder-json", str(encoder), "--gpt2-vocab-bpe", str(merges)]
    references = [
        (
            "tiktoken",
            gpt2,
            lambda batch: text_of(tiktoken.encode_ordinary_batch(batch, num_threads=1)),
        ),
        ("tokenizers", gpt2, lambda batch: text_of(e.ids for e in hugging.encode_batch(batch))),
        # An unknown piece can hold a control character that fairseq takes for white space (U+001C).
        # It is then two words.
        (
            "sentencepiece",
            ["--bpe", "sentencepiece", "--sentencepiece-model", str(model)],
            lambda batch: [
                " ".join(line).split() for line in pieces.encode(batch, out_type=str, num_threads=1)
            ],
        ),
    ]
    # Lines as fairseq's scripts read them, with white space stripped at both ends.
    texts = {
        "1 MB of difficult Unicode": [line.strip() for line in awkward_lines(1_000_000, seed=7)],
        f"{args.megabytes} MB of this machine's text": [
            line.strip() for line in machine_text(args.megabytes * 1_000_000).decode().split("\n")
        ],
    }
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for what, lines in texts.items():
            lines = [line for line in lines if "\r" not in line]
            (folder / "text").write_text(
                "".join(line + "\n" for line in lines), encoding="utf-8", newline="\n"
            )
            for reference, flags, encode in references:
                with ours(folder, folder / "text", flags) as found:
                    count, first, symbols = differences(found, lines, encode)
                failed = failed or count > 0
                print(
                    f"{'FAIL' if count else 'ok  '} {what}, {reference}: {len(lines)} lines, "
                    f"{symbols} symbols, {count} lines differ {first}",
                    flush=True,
                )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
