#!/usr/bin/env python3
"""Prints compat/tokenizer/unicode_categories.inc: the code points of \\p{L} and \\p{N} in the
installed `regex` package.

usage: scripts/make_unicode_categories.py > compat/tokenizer/unicode_categories.inc
The table in the repository is from regex 2026.1.15 (Unicode 17), which fairseq 0.12.2 installs.
"""
import regex


def ranges(pattern):
    found, compiled = [], regex.compile(pattern)
    for code in range(0x110000):
        if compiled.fullmatch(chr(code)):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return found


print(
    f"// Made by scripts/make_unicode_categories.py with regex {regex.__version__}: {{first, "
    f"last, category}}."
)
table = sorted(
    [(a, b, "kLetter") for a, b in ranges(r"\p{L}")]
    + [(a, b, "kNumber") for a, b in ranges(r"\p{N}")]
)
line = ""
for first, last, category in table:
    entry = f"{{0x{first:X}, 0x{last:X}, {category}}},"
    if len(line) + len(entry) + 1 > 120:
        print(line)
        line = ""
    line += (" " if line else "") + entry
print(line)
