"""Texts for comparing tokenizers and preprocessing. Needs only the standard library."""
import os
import random

RANGES = [
    (0x20, 0x7F),
    (0x20, 0x7F),
    (0x20, 0x7F),
    (0x20, 0x7F),
    (0x9, 0xD),
    (0xE, 0x20),
    (0x80, 0x100),
    (0x100, 0x250),
    (0x300, 0x370),
    (0x370, 0x530),
    (0x590, 0x700),
    (0x900, 0xA00),
    (0xE00, 0xE80),
    (0x1100, 0x1200),
    (0x1680, 0x1681),
    (0x2000, 0x2070),
    (0x2070, 0x2200),
    (0x2460, 0x2500),
    (0x3000, 0x3100),
    (0x4E00, 0x5000),
    (0xAC00, 0xAC80),
    (0xE000, 0xE010),
    (0xFE00, 0xFE10),
    (0xFF00, 0xFFA0),
    (0xFFF0, 0x10000),
    (0x10140, 0x10180),
    (0x1D400, 0x1D800),
    (0x1F300, 0x1F650),
    (0x20000, 0x20100),
    (0xE0100, 0xE0110),
    (0x10FFF0, 0x110000),
]
WORDS = [
    "don't",
    "we're",
    "I'll",
    "they'VE",
    "'s",
    " 's",
    "x'd",
    "'",
    "''ll",
    "...",
    "  ",
    "   ",
    "\u200d",
    "\ufeff",
    "a" * 300,
    "abcab" * 60,
    "\u3000\u3000",
    " \t ",
    "\u00a0",
    "ﬁ",
    "Å",
    "👩‍👩‍👧",
    "e\u0301",
    "<unk>",
    "<s>",
    "</s>",
    "<|endoftext|>",
    "▁",
    "1234567890" * 20,
    "ªº½²",
    "\x00",
    "\ufffd",
]


def awkward_lines(size, seed):
    """Lines that are difficult for tokenizers: many scripts, marks, spaces, controls, emoji,
    contractions, long words.

    The lines have no line ends and `size` bytes of UTF-8 in all. Random with a seed.
    """
    rng = random.Random(seed)
    lines, total = [], 0
    while total < size:
        line = ""
        for _ in range(rng.randint(0, 60)):
            kind = rng.random()
            if kind < 0.3:
                line += rng.choice(WORDS)
            elif kind < 0.5:
                line += " "
            else:
                first, end = rng.choice(RANGES)
                line += "".join(chr(rng.randrange(first, end)) for _ in range(rng.randint(1, 6)))
        line = line.replace("\n", "").replace("\r", "")
        lines.append(line)
        total += len(line.encode()) + 1
    return lines


def machine_text(
    size, roots=("/usr/share", "/usr/include", "/usr/lib/python3", "/usr/lib", "/usr/local")
):
    """`size` bytes of text files of a Debian machine: documentation, manuals, sources.

    Ends at a line end.
    """
    parts, total = [], 0
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(folder, name)
                if os.path.islink(path) or not 500 <= os.path.getsize(path) <= 2_000_000:
                    continue
                with open(path, "rb") as file:
                    data = file.read()
                if b"\0" in data:
                    continue
                try:
                    data.decode()
                except UnicodeDecodeError:
                    continue
                data = data[: size - total]
                parts.append(data[: data.rfind(b"\n") + 1])
                total += len(data)
                if total >= size:
                    return b"".join(parts)
    raise SystemExit(f"this machine has {total / 1e6:.0f} MB of text, {size / 1e6:.0f} wanted")
