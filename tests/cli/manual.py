#!/usr/bin/env python3
"""Formats all manual pages at 80 columns with the formatters that are installed, which must not
warn, and compares the pages' flags with --help."""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def output_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    assert done.stderr == b"", (command, done.stderr.decode())
    return done.stdout.decode()


def flags_in(text):
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text))


def flags_of_help(text):
    """Of the left column and of the list at the end: flags that help texts mention do not count."""
    lines = [line for line in text.split("\n") if re.match("  -", line)]
    return flags_in("\n".join(re.split("   ", line[2:])[0] for line in lines))


def check_page(page, programs):
    source = page.read_text()
    assert source.isascii(), page
    if shutil.which("mandoc"):
        assert output_of(["mandoc", "-T", "lint", "-W", "warning", str(page)]) == "", page
    if shutil.which("groff"):
        text = output_of(["groff", "-man", "-Tascii", "-P-c", "-rLL=80n", "-ww", str(page)])
        plain = re.sub(r".\x08", "", text)
        assert max(map(len, plain.split("\n"))) <= 80, page
    title = page.stem
    program = "btm-convert" if title.startswith("btm-convert") else "btm"
    synopsis = re.search(r"\.SH SYNOPSIS\n\.B (.*)\n", source).group(1).replace("\\", "")
    path = synopsis[len(program) :].split()
    shown = output_of([str(programs / program), *path, "--help"])
    missing = flags_of_help(shown) - flags_in(source.replace("\\:", "").replace("\\-", "-"))
    assert not missing, (page, missing)
    return len(flags_of_help(shown))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    programs = parser.parse_args().bin.resolve()
    with tempfile.TemporaryDirectory(prefix="btm-manual-") as name:
        for program in ("btm", "btm-convert"):
            output_of([str(programs / program), "manual", "--output-dir", name])
        pages = sorted(pathlib.Path(name).glob("*.1"))
        flags = sum(check_page(page, programs) for page in pages)
    assert len(pages) > 30 and flags > 300, (len(pages), flags)
    for formatter in ("mandoc", "groff"):
        if shutil.which(formatter) is None:
            print(f"{formatter}: not installed")
    print(f"{len(pages)} pages, {flags} flags")
    return 0


if __name__ == "__main__":
    sys.exit(main())
