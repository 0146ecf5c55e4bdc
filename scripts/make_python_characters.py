#!/usr/bin/env python3
"""Prints compat/tokenizer/python_characters.inc: what Python's str knows of characters.

Its re module's \\w is isalnum() and '_'. Whether a capital sigma ends a word depends on letters
with case and on characters that lower() skips, which are found by asking lower() itself.
usage: scripts/make_python_characters.py > compat/tokenizer/python_characters.inc
The table in the repository is that of Python 3.9 (Unicode 13), which c-BTM runs on.
"""
import sys
import unicodedata

SIGMA, FINAL = "\u03a3", "\u03c2"


def ranges(holds):
    found = []
    for code in range(0x110000):
        if not 0xD800 <= code < 0xE000 and holds(chr(code)):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return found


def is_skipped(char):
    """Between a letter and a sigma it changes nothing."""
    return ("a" + char + SIGMA).lower().endswith(FINAL) and not has_case(char)


def has_case(char):
    return (char + SIGMA).lower().endswith(FINAL)


def lower_ranges():
    """[first, last, step, difference] of characters with one small letter."""
    found = []
    for code in range(0x110000):
        small = chr(code).lower()
        if small == chr(code) or code == 0x130:
            continue
        assert len(small) == 1, hex(code)
        difference = ord(small) - code
        if found and found[-1][3] == difference:
            first, last, step, _ = found[-1]
            gap = code - last
            if gap <= 2 and (first == last or gap == step):
                found[-1][1:3] = [code, gap]
                continue
        found.append([code, code, 1, difference])
    return found


def show(name, rows):
    print(f"constexpr {name}[] = {{")
    line = "   "
    for row in rows:
        entry = "{" + ", ".join(f"0x{n:X}" if n > 9 else str(n) for n in row) + "},"
        if len(line) + len(entry) + 1 > 100:
            print(line)
            line = "   "
        line += " " + entry
    print(line + "\n};")


print(
    f"// Made by scripts/make_python_characters.py with Python {sys.version.split()[0]} "
    f"(Unicode {unicodedata.unidata_version})."
)
assert chr(0x130).lower() == "i\u0307"
show("CodeRange kWordCharacters", ranges(lambda c: c.isalnum() or c == "_"))
show("CodeRange kDigits", ranges(str.isdigit))
show("CodeRange kCased", ranges(has_case))
show("CodeRange kSkipped", ranges(is_skipped))
show("LowerRange kLower", lower_ranges())
