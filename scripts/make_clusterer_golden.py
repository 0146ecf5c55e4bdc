#!/usr/bin/env python3
"""Writes a clusterer of c-BTM (tfidf.pkl, kmeans.pkl), and what it says of 1,000 lines.

It follows kernelmachine/cbtm's train_clusterer.py: a Pipeline of a TfidfVectorizer that maps
numbers to one symbol, TruncatedSVD and Normalizer; KMeans of kernelmachine/balanced-kmeans.
scripts/make-clusterer-golden makes the environments and calls it.
usage: make_clusterer_golden.py FOLDER VERSION
"""
import json
import pathlib
import pickle
import random
import sys

import numpy as np
import torch
from kmeans_pytorch import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction import text
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer

COMPONENTS, CLUSTERS, LINES = 8, 4, 1000
# The first and last letter of alphabets, and digits: of Unicode's categories Nd and No, and numbers
# that are no digits (a half, a Roman and a Chinese one).
ALPHABETS = [
    *("az", "\xc0\xf6", "\xd8\xff", "\u0100\u017f", "\u0391\u03c9", "\u0410\u044f"),
    *("\u0531\u0586", "\u05d0\u05ea", "\u0621\u064a", "\u0905\u0939", "\u0e01\u0e2e"),
    *("\u10d0\u10f0", "\u13a0\u13cf", "\u1e00\u1eff", "\u1f00\u1f15", "\u2c00\u2c2f"),
    *("\u3041\u3096", "\u4e00\u4eff", "\ua4d0\ua4f7", "\uac00\uacff", "\uff21\uff3a"),
    *("\U00010400\U00010427", "\U0001e900\U0001e921"),
]
DIGITS = "07\u0661\u0967\uff13\xb2\u2460\u24ff\U0001d7ce\xbd\u2165\u4e8c\u3007"
# A capital whose small letter is two characters, a final sigma, titlecase, marks, joiners, signs.
ODD = "\u0130\u03a3\u01c5\u0301\u093f\u200d_'-\u00ad\u1e9e\u212a\u20dd\u02bc\u0345"


def words_of(alphabet, rng):
    """40 words of letters, some with capitals, digits or odd characters."""
    letters = [chr(c) for c in range(ord(alphabet[0]), ord(alphabet[-1]) + 1)]
    words = []
    for i in range(40):
        word = "".join(rng.choice(letters) for _ in range(rng.randint(1, 6)))
        if i % 4 == 1:
            word = word.upper() if i % 8 == 1 else word.title()
        if i % 5 == 2:
            at = rng.randint(0, len(word))
            word = word[:at] + rng.choice(DIGITS) + word[at:]
        if i % 6 == 3:
            at = rng.randint(0, len(word))
            word = word[:at] + rng.choice(ODD) + word[at:]
        words.append(word)
    return words


def make_lines():
    """Each line is of one subject, whose words come from three alphabets."""
    rng = random.Random(7)
    words = [words_of(alphabet, rng) for alphabet in ALPHABETS]
    lines = []
    for _ in range(LINES):
        subject = rng.randrange(len(ALPHABETS))
        pool = [word for i in range(3) for word in words[(subject + i) % len(words)]]
        chosen = rng.choices(pool, weights=[1 / (1 + i % 40) for i in range(len(pool))], k=9)
        chosen += [str(rng.randrange(3000)), rng.choice(["the", "and", "\u03a3\u03a3", "I"])]
        rng.shuffle(chosen)
        lines.append("".join(word + rng.choice("    ,.;\u3000\u00a0\u2014") for word in chosen))
    return lines


class NumberNormalizingVectorizer(TfidfVectorizer):
    """Counts every token that begins with a digit as #NUMBER."""

    def build_tokenizer(self):
        tokenize = super().build_tokenizer()
        return lambda line: ["#NUMBER" if t[0].isdigit() else t for t in tokenize(line)]


def main(folder, version):
    np.random.seed(1)
    torch.manual_seed(1)
    lines = make_lines()
    (folder / version).mkdir(parents=True, exist_ok=True)
    (folder / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    stop_words = sorted(text.ENGLISH_STOP_WORDS.union(["#NUMBER"]))
    model = Pipeline(
        [
            ("tfidf", NumberNormalizingVectorizer(stop_words=stop_words)),
            ("svd", TruncatedSVD(n_components=COMPONENTS)),
            ("normalizer", Normalizer(copy=False)),
        ]
    )
    vectors = model.fit_transform(lines[: LINES * 3 // 4])
    kmeans = KMeans(n_clusters=CLUSTERS, device=torch.device("cpu"), balanced=True)
    kmeans.fit(torch.from_numpy(vectors), iter_limit=20, online=True, iter_k=0, tqdm_flag=False)
    for name, value in (("tfidf", model), ("kmeans", kmeans)):
        (folder / version / f"{name}.pkl").write_bytes(pickle.dumps(value))
    found, distances = kmeans.predict(
        torch.from_numpy(model.transform(lines)), return_distances=True
    )
    rows = [
        json.dumps([int(cluster), *(round(float(d), 6) for d in row)])
        for cluster, row in zip(found, distances)
    ]
    (folder / version / "expected.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
