#!/usr/bin/env python3
"""Writes tests/golden/gpt2 and tests/golden/preprocess with the reference programs.

usage: $(scripts/tokenizers-env)/bin/python scripts/make_preprocess_golden.py --fairseq
$(scripts/fairseq-env)
"""
import argparse
import json
import pathlib
import random
import subprocess
import tempfile

from reference_tokenizers import gpt2_files, sentencepiece_processor, tiktoken_encoding
from sample_text import awkward_lines

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
MERGES = 2000


def write_lines(path, lines):
    path.write_bytes("".join(line + "\n" for line in lines).encode())


def cut_down_gpt2(folder):
    """GPT-2's first merges, with ids in the usual order: bytes, merges, <|endoftext|>."""
    encoder_json, vocab_bpe = gpt2_files()
    merges = vocab_bpe.read_text(encoding="utf-8").split("\n")[: MERGES + 1]
    ids = json.loads(encoder_json.read_text(encoding="utf-8"))
    kept = {token: number for token, number in ids.items() if number < 256 + MERGES}
    kept["<|endoftext|>"] = 256 + MERGES
    (folder / "encoder.json").write_text(json.dumps(kept), encoding="utf-8")
    (folder / "vocab.bpe").write_text("\n".join(merges) + "\n", encoding="utf-8")


def gpt2():
    folder = GOLDEN / "gpt2"
    folder.mkdir(exist_ok=True)
    cut_down_gpt2(folder)
    lines = awkward_lines(60_000, seed=1)
    encoding = tiktoken_encoding(folder / "encoder.json", folder / "vocab.bpe")
    write_lines(folder / "awkward.txt", lines)
    write_lines(
        folder / "awkward.ids",
        [" ".join(map(str, encoding.encode_ordinary(line))) for line in lines],
    )
    pieces = sentencepiece_processor(GOLDEN / "corpus" / "spm.model")
    write_lines(folder / "awkward.spm", [" ".join(pieces.encode_as_pieces(line)) for line in lines])


def spaced_words() -> str:
    """Lines of words with every kind of white space and line end between them."""
    rng = random.Random(3)
    words = [f"w{i}" for i in range(300)] + [
        "<unk>",
        "</s>",
        "<s>",
        "<pad>",
        "madeupword0001",
        "naïve",
        "東京",
        "😀",
        "\u200b",
    ]
    spaces = [" "] * 20 + [
        "  ",
        "\t",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x1f",
        "\x85",
        "\xa0",
        "\u1680",
        "\u2003",
        "\u2028",
        "\u202f",
        "\u205f",
        "\u3000",
    ]
    text = ""
    for _ in range(400):
        count = rng.choice([0, 0, 1, 2, 5, 20, 60])
        text += "".join(
            rng.choice(words[: rng.choice([10, 50, len(words)])]) + rng.choice(spaces)
            for _ in range(count)
        )
        text += rng.choice(["\n"] * 12 + ["\r\n", "\r", "\n\r"])
    return text


def preprocess(args):
    """fairseq-preprocess on words between every kind of white space and line end."""
    folder = GOLDEN / "preprocess"
    folder.mkdir(exist_ok=True)
    text = spaced_words()
    (folder / "train.txt").write_bytes((text + "the last line has no end").encode())
    (folder / "valid.txt").write_bytes(text[: len(text) // 8].encode() + "\nnever seen w1".encode())
    flags = {
        "plain": [],
        "small": ["--thresholdsrc", "2", "--nwordssrc", "101", "--padding-factor", "16"],
        "lazy": ["--dataset-impl", "lazy"],
    }
    for name, extra in flags.items():
        with tempfile.TemporaryDirectory() as out:
            command = [
                f"{args.fairseq}/bin/fairseq-preprocess",
                "--only-source",
                "--trainpref",
                str(folder / "train.txt"),
                "--validpref",
                str(folder / "valid.txt"),
                "--destdir",
                out,
                *extra,
            ]
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            (folder / name).mkdir(exist_ok=True)
            for file in ("dict.txt", "train.bin", "train.idx", "valid.bin", "valid.idx"):
                (folder / name / file).write_bytes((pathlib.Path(out) / file).read_bytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fairseq", required=True)
    args = parser.parse_args()
    gpt2()
    preprocess(args)


if __name__ == "__main__":
    main()
