#!/usr/bin/env python3
"""Writes the text of the demo: OUT/DOMAIN/{train,valid,test}.txt, one document per line.

    scripts/demo_corpus.py OUT

The text comes from Debian packages, which apt-get downloads but does not install: german
(fortunes-de: sayings and anecdotes), jargon (dict-jargon: the hackers' dictionary), perl (perl-doc:
manuals) and politics (anarchism: essays). Without the packages it comes from the few texts in
tests/golden/corpus.
"""
import gzip
import hashlib
import html
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRAIN_BYTES, HELD_OUT_BYTES = 500_000, 40_000  # per domain: all domains have equal weight
SHORTEST, LONGEST = 80, 4000  # characters of a document


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def german(root):
    """Sayings of fortunes-de, which stand between lines of '%'."""
    for file in sorted((root / "usr/share/games/fortunes/de").glob("*.u8")):
        target = file.with_suffix("") if file.is_symlink() else file
        if "ascii" not in file.name and target.exists():
            yield from read(target).split("\n%\n")


def jargon(root):
    """Entries of the jargon file: a headword at the margin, its text indented."""
    text = gzip.decompress((root / "usr/share/dictd/jargon.dict.dz").read_bytes()).decode(
        "utf-8", "replace"
    )
    return re.split(r"\n\n(?=\S)", text)


def perl(root):
    """Paragraphs of prose from perl's manuals, without code and markup."""
    for file in sorted((root / "usr/share/perl").glob("*/pod/*.pod")):
        if file.name in ("perltoc.pod", "perluniprops.pod"):  # lists
            continue
        for paragraph in read(file).split("\n\n"):
            if not paragraph.startswith((" ", "\t", "=")):
                yield re.sub(r"[A-Z]<+ ?([^<>]*?) ?>+", r"\1", paragraph)


def politics(root):
    """Paragraphs of An Anarchist FAQ."""
    for file in sorted((root / "usr/share/doc/anarchism/html").glob("sec*.html")):
        for paragraph in re.split(r"</?p[^>]*>", read(file), flags=re.IGNORECASE):
            yield html.unescape(re.sub(r"<[^>]+>", " ", paragraph))


DOMAINS = {
    "german": ("fortunes-de", german),
    "jargon": ("dict-jargon", jargon),
    "perl": ("perl-doc", perl),
    "politics": ("anarchism", politics),
}


def write_split(folder, name, documents, limit):
    size, lines = 0, []
    for document in documents:
        size += len(document.encode()) + 1
        if size > limit:
            break
        lines.append(document + "\n")
    (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    return sum(len(line.encode()) for line in lines)


def write_domain(folder, documents):
    """Splits documents by their hash, so that the same text is always split in the same way."""
    splits = {"train": [], "valid": [], "test": []}
    seen = set()
    for document in documents:
        line = " ".join(document.split())
        if not SHORTEST <= len(line) <= LONGEST or line in seen:
            continue
        seen.add(line)
        number = hashlib.sha256(line.encode()).digest()[0]
        splits["test" if number < 20 else "valid" if number < 40 else "train"].append(
            (hashlib.sha256(line.encode()).hexdigest(), line)
        )
    folder.mkdir(parents=True, exist_ok=True)
    return {
        name: write_split(
            folder,
            name,
            [line for _, line in sorted(lines)],
            TRAIN_BYTES if name == "train" else HELD_OUT_BYTES,
        )
        for name, lines in splits.items()
    }


def download(packages, folder):
    """Unpacks the packages into folder/root. False when they cannot be downloaded."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return False
    fetched = subprocess.run(
        ["apt-get", "download", "-q", *packages], cwd=folder, capture_output=True, text=True
    )
    if fetched.returncode != 0:
        print(
            "demo: apt-get download: " + (fetched.stderr.strip().splitlines() or ["failed"])[-1],
            file=sys.stderr,
        )
        return False
    for archive in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, folder / "root"], check=True)
    return True


def fall_back(out):
    """Uses the golden corpus. Its validation text serves as training text here."""
    print(
        "demo: the packages are not available: using a tiny corpus of the tests, whose numbers "
        "mean little",
        file=sys.stderr,
    )
    for domain in sorted(
        path.name
        for path in (ROOT / "tests/golden/corpus").iterdir()
        if (path / "valid.txt").exists()
    ):
        source = ROOT / "tests/golden/corpus" / domain
        held_out = read(source / "test.txt").splitlines()
        (out / domain).mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "valid.txt", out / domain / "train.txt")
        (out / domain / "valid.txt").write_text("".join(line + "\n" for line in held_out[::2]))
        (out / domain / "test.txt").write_text("".join(line + "\n" for line in held_out[1::2]))


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    out = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if download([package for package, _ in DOMAINS.values()], folder):
            for domain, (package, documents) in DOMAINS.items():
                sizes = write_domain(out / domain, documents(folder / "root"))
                print(
                    f"{domain} ({package}): "
                    + ", ".join(f"{split} {size // 1000} kB" for split, size in sizes.items())
                )
        else:
            fall_back(out)


if __name__ == "__main__":
    main()
