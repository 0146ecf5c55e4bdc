#!/usr/bin/env python3
"""Writes what fairseq's encoders make of lines of text. scripts/make-encoders-golden runs it.

usage: make_encoders_golden.py FOLDER
"""
import collections
import json
import pathlib
import sys
from argparse import Namespace

from fairseq.data.encoders.bytes import Bytes
from fairseq.data.encoders.characters import Characters
from fairseq.data.encoders.fastbpe import fastBPE
from fairseq.data.encoders.hf_byte_bpe import HuggingFaceByteLevelBPE
from fairseq.data.encoders.space_tokenizer import SpaceTokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPECIAL = [
    "a",
    "the theatre  of the absurd",
    "tabs\tand\u3000wide\u00a0 spaces \u2009 here",
    "na\u00efve caf\u00e9 \u2014 \u201cquoted\u201d \u4e2d\u6587 \U0001f600",
    "control\x07 and \xad soft hyphen \x7f",
    "@@ a@@b </w> x</w> @@",
    "1234567890 a_b-c.d",
    "\u0130\u0131 \u01c5 e\u0301",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa aaa",
]


def learn_codes(words, merges):
    """Byte pair encoding in fastBPE's form: the most frequent pair first."""
    counts = collections.Counter(words)
    pieces = {w: [*w[:-1], w[-1] + "</w>"] for w in counts}
    codes = []
    for _ in range(merges):
        pairs = collections.Counter()
        for word, count in counts.items():
            for pair in zip(pieces[word], pieces[word][1:]):
                pairs[pair] += count
        known = {a + b for a, b, _ in codes}
        best = [p for p in sorted(pairs, key=lambda p: (-pairs[p], p)) if "".join(p) not in known]
        a, b = best[0]
        codes.append((a, b, pairs[a, b]))
        for word, old in pieces.items():
            new, i = [], 0
            while i < len(old):
                joined = i + 1 < len(old) and (old[i], old[i + 1]) == (a, b)
                new.append(a + b if joined else old[i])
                i += 2 if joined else 1
            pieces[word] = new
    return codes


def words_of(encoded):
    """The symbols, as Dictionary.encode_line splits them, with single spaces."""
    return " ".join(encoded.split())


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "tests/golden/gpt2/awkward.txt").read_text(encoding="utf-8", errors="ignore")
    corpus = (ROOT / "tests/golden/corpus/perl").glob("*.txt")
    words = [word for file in sorted(corpus) for word in file.read_text().split()]
    codes = learn_codes(words[:20000] or text.split(), 300)
    (folder / "codes").write_text("".join(f"{a} {b} {n}\n" for a, b, n in codes), encoding="utf-8")
    import fastBPE as library

    bpe = library.fastBPE(str(folder / "codes"))
    seen = collections.Counter(p for line in bpe.apply(words[:3000]) for p in line.split())
    # A vocabulary that lacks half of the symbols, so that words are taken apart.
    kept = [(p, n) for i, (p, n) in enumerate(sorted(seen.items())) if i % 2 or len(p) <= 3]
    (folder / "vocab").write_text("".join(f"{p} {n}\n" for p, n in kept), encoding="utf-8")
    limited = library.fastBPE(str(folder / "codes"), str(folder / "vocab"))
    gpt2 = dict(
        bpe_vocab=str(ROOT / "tests/golden/gpt2/encoder.json"),
        bpe_merges=str(ROOT / "tests/golden/gpt2/vocab.bpe"),
    )
    lines = [line[:120].strip() for line in SPECIAL + text.split("\n")[:40]]
    lines = [line for line in lines if line]
    encoders = {
        "characters": Characters(),
        "bytes": Bytes(),
        "fastbpe": fastBPE(Namespace(bpe_codes=str(folder / "codes"))),
        "hf_byte_bpe": HuggingFaceByteLevelBPE(Namespace(**gpt2, bpe_add_prefix_space=False)),
        "hf_byte_bpe_prefix": HuggingFaceByteLevelBPE(Namespace(**gpt2, bpe_add_prefix_space=True)),
    }
    space = SpaceTokenizer()
    rows = []
    for line in lines:
        row = {"text": line, "fastbpe_vocab": words_of(limited.apply([line])[0])}
        for name, encoder in encoders.items():
            encoded = encoder.encode(line)
            row[name] = words_of(encoded)
            if name != "hf_byte_bpe_prefix":
                row[name + " back"] = encoder.decode(row[name])
        row["space+hf_byte_bpe"] = words_of(encoders["hf_byte_bpe"].encode(space.encode(line)))
        rows.append(row)
    with (folder / "expected.jsonl").open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=True) + "\n")
    broken = ["\xc3", "a\u0182", "\u2581\xe2\u0182x", "\xf0\u019fa\xc3\xa9"]
    (folder / "broken_bytes.json").write_text(
        json.dumps([[list(b), Bytes.decode(" ".join(b))] for b in broken]) + "\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[-1])
    main(pathlib.Path(sys.argv[1]))
