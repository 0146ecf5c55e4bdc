#!/usr/bin/env python3
"""Checks that what must go through one place goes through it. Exit 1 with a line per breach."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# (what may not stand in a line, the files in which it may, why)
RULES = [
    (
        re.compile(
            r"\bjson::(parse|sax_parse|from_(cbor|bson|msgpack|ubjson))\b|\bJson::(parse|sax_parse)\b|>> *(json|Json)\b"
        ),
        {
            "compat/io/json_text.cpp",
            "compat/fairseq/config_json.cpp",
            "compat/huggingface/safetensors.cpp",
            "converters/documents.cpp",
        },
        "JSON is read through compat/io/json_text.h, which limits its nesting and size",
    ),
    # kProblem: a constant of our own, where no stream may be used.
    (
        re.compile(
            r"\b(v?printf|v?dprintf|puts|putchar|perror|psignal) *\(|\bstd(out|err)\b|\bwrite *\( *(STD(OUT|ERR)_FILENO|[12]) *,(?! *kProblem\b)"
            r"|\bstd::(clog|wcout|wcerr|wclog|print|println)\b|\bstd::(cout|cerr)\.rdbuf\b|/dev/(tty|stdout|stderr|fd)\b"
        ),
        {"compat/program/console.cpp", "compat/io/lost_files.cpp", "btm/trainer/train_log.cpp"},
        "what is printed goes through std::cout and std::cerr, which compat/program/console escapes",
    ),
]


def main() -> int:
    breaches = []
    for folder in ("compat", "btm", "converters"):
        for file in sorted((ROOT / folder).rglob("*")):
            name = file.relative_to(ROOT).as_posix()
            if file.suffix not in (".h", ".cpp"):
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                code = line.split("//")[0]
                breaches += [
                    f"{name}:{number}: {why}"
                    for pattern, allowed, why in RULES
                    if name not in allowed and pattern.search(code)
                ]
    print("\n".join(breaches) if breaches else "sources keep the rules")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
