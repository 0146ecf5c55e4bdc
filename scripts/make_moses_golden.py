#!/usr/bin/env python3
"""Writes what sacremoses 0.1.1 makes of lines of text. scripts/make-encoders-golden runs it.

usage: make_moses_golden.py FOLDER

FOLDER gets expected.jsonl, and the part of sacremoses' tables that its lines need, in the form of
sacremoses' folder data.
"""
import json
import pathlib
import sys

import sacremoses
from sacremoses import MosesDetokenizer, MosesTokenizer

TABLES = pathlib.Path(sacremoses.__file__).parent / "data"
SETS = ("IsAlpha", "IsAlnum", "IsN", "IsLower", "IsSc", "Han", "Hangul", "Hiragana", "Katakana")
LINES = {
    "en": [
        "",
        "He said 'I'm (not) going...' etc. No. 5 is Mr. Smith's.",
        "U.S. dollars, 5,300 and 5, 300 a,b,,c ,, 7,",
        "1's '90s 'tis rock 'n' roll o'clock, the Jones' house",
        "the end.'",
        "a.b. c. d.e. Dr. X. y. Z. a",
        "...start .. x.. y... z ....",
        "a-b--c -d- e-1 well-known",
        "x\x01y\x02 z\u00a0and\u3000wide \x7f \u00ad",
        "\u20ac5 \u00a37 (x) [y] {z} <b> & | \"q\" `r` ``s''",
        "No. 12 No. x No.",
        "\u4e2d\u6587,\u65e5\u672c \u304b\u306a \u30ab\u30ca \ud55c\uad6d\uc5b4.",
        "http://a.b/c?d=e f@g.h 100% #1 @x *y* ^ ~ _ = + \\ /",
    ],
    "fr": ["l'homme d'une s'il 1's aujourd'hui! Qui? M. Dupont: 5 % ; a'", "' a ' b"],
    "it": ["l'uomo, dell'arte. Sig. Rossi"],
    "de": ["Nr. 3 z.B. das ist. Und \u201eHallo\u201c rock'n'roll. Am 3. Mai"],
    "cs": ["\u201eAno\u201c, \u0159ekl. 1 . 5 chce' - li e' - mail"],
    "ru": [
        "\u0413. \u041c\u043e\u0441\u043a\u0432\u0430, \u0443\u043b. "
        "\u041b\u0435\u043d\u0438\u043d\u0430 5. \u044d\u0442\u043e"
    ],
    "hi": ["\u0939\u093f\u0928\u094d\u0926\u0940 \u0915\u093c\u0964 \u0921\u0949. \u0915"],
    "zh": ["\u4e2d\u6587\uff0c\u6c49\u5b57\u3002 abc-\u4e2d-\u6587"],
    "ja": ["\u65e5\u672c\u8a9e\u3001\u304b\u306a-\u30ab\u30ca\u3002"],
    "ko": ["\ud55c\uad6d\uc5b4, \uc5b4-\ub290 \uac83. \ub05d"],
    "xx": ["Mr. X's no-list."],
}
TOKENS = {
    "en": [
        "`` hello '' he said 's \" x \" ' y ' \u201e a \u201c b \u201d",
        "&bar; &bra; &ket; &amp;lt; &#124; &apos;m",
        "a @-@ @-@ b @-@ c",
        "( x ) $ 5 \u00a3 6 [ y ] \u00bf z",
        "The Jones ' house 's",
        "\u4e2d \u6587 a \u4e2d",
    ],
    "fr": ["l' homme ? ! : ; %", "l' 5"],
    "ko": ["\ud55c \uad6d a"],
    "cs": ["\u201e a \u201c 5 \u201e", "x 3 , 7 .", "5 9 ."],
}


def rows():
    for language, lines in LINES.items():
        tokenizer, detokenizer = MosesTokenizer(language), MosesDetokenizer(language)
        for line in lines:
            row = {"language": language, "text": line}
            row["tokens"] = tokenizer.tokenize(line, aggressive_dash_splits=True, return_str=True)
            row["plain"] = tokenizer.tokenize(
                line, aggressive_dash_splits=False, return_str=True, escape=False
            )
            try:
                row["decoded"] = detokenizer.detokenize(row["tokens"].split())
            except TypeError:  # sacremoses' rule for Czech compounds
                pass
            yield row
        for tokens in TOKENS.get(language, []):
            decoded = detokenizer.detokenize(tokens.split())
            yield {"language": language, "given": tokens, "decoded": decoded}


def write_tables(folder, text):
    characters, words = set(text), set(text.replace(".", " ").split())
    (folder / "perluniprops").mkdir(parents=True, exist_ok=True)
    for name in SETS:
        table = (TABLES / "perluniprops" / f"{name}.txt").read_text(encoding="utf-8")
        kept = "".join(c for c in table if c in characters)
        (folder / "perluniprops" / f"{name}.txt").write_text(kept, encoding="utf-8")
    (folder / "nonbreaking_prefixes").mkdir(parents=True, exist_ok=True)
    for language in LINES:
        name = pathlib.Path("nonbreaking_prefixes") / f"nonbreaking_prefix.{language}"
        if (TABLES / name).exists():
            lines = (TABLES / name).read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.split(" ")[0].strip() in words]
            (folder / name).write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    found = list(rows())
    write_tables(folder, "\n".join(value for row in found for value in row.values()))
    text = "".join(json.dumps(row) + "\n" for row in found)
    (folder / "expected.jsonl").write_text(text)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
