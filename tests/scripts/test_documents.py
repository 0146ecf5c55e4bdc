#!/usr/bin/env python3
"""Checks the documents: links, paths, lengths of README.md and of sentences, and the drawn picture.

A path in backquotes must lead to a file or a folder: from the top, from the document's folder, or,
for a bare file name, from anywhere. `{a,b}` stands for both. Exit status 1 with a line for each
fault.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
README_LINES = 150
SENTENCE_WORDS = 25
ENDINGS = r"\.(?:h|cpp|inc|py|md|txt|json|sh)"
TOP_FOLDERS = r"(?:btm|compat|converters|scripts|tests|\.github|\.ci)"
# Names in backquotes that are none of the project's: outputs, and users' own files.
FOREIGN = {
    "forest.json",
    "summary.json",
    "encoder.json",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "dict.txt",
    "spm.dict.txt",
    "raw/law.txt",
    "train.txt",
    "valid.txt",
    "test.txt",
    "bench.json",
    "bench.md",
    "matrix.json",
    "STEP.json",
    "NAME.json",
}


def documents():
    """Every Markdown file that git knows, or would know after `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.split() if listed.returncode == 0 else []
    if not names:  # a copy without git
        names = [
            file.relative_to(ROOT).as_posix()
            for file in ROOT.rglob("*.md")
            if not any(part.startswith("build") for part in file.relative_to(ROOT).parts)
        ]
    return [ROOT / name for name in sorted(names) if (ROOT / name).is_file()]


def without_code(text):
    """The text with fenced and indented blocks left empty, so that line numbers stay."""
    lines, fenced = [], False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
            line = ""
        lines.append("" if fenced or line.startswith("    ") else line)
    return lines


def anchors(text):
    """The anchors that GitHub gives the headings."""
    found = set()
    for line in without_code(text):
        if heading := re.match(r"#+ +(.*)", line):
            name = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            found.add(re.sub(r"[^\w\- ]", "", name).replace(" ", "-"))
    return found


def link_faults(file, number, line):
    targets = re.findall(r"\]\(([^)\s]+)\)", line) + re.findall(r'(?:src|srcset)="([^"]+)"', line)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (file.parent / path).resolve() if path else file
        if not to.exists():
            yield f"{number}: no such file: {target}"
        elif anchor and (to.is_dir() or anchor not in anchors(to.read_text())):
            yield f"{number}: no such heading: {target}"


def expanded(name):
    """`a{b,c}d` as abd and acd."""
    braces = re.search(r"\{([^{}]*,[^{}]*)\}", name)
    if braces is None:
        return [name]
    return [
        whole
        for part in braces[1].split(",")
        for whole in expanded(name[: braces.start()] + part + name[braces.end() :])
    ]


def path_faults(file, number, line, names):
    for quoted in re.findall(r"`([^`]+)`", line):
        for word in quoted.split():
            for path in expanded(word.rstrip(".,;:/")):
                if not re.fullmatch(r"[\w./\-]+", path) or path in FOREIGN or path.isupper():
                    continue
                if re.search(r"NAME|ROOM|DIR|SAVE|DOMAIN|REPO|STEP", path):
                    continue
                if re.match(TOP_FOLDERS + "/", path):
                    known = (ROOT / path).exists() or (file.parent / path).exists()
                elif re.search(ENDINGS + "$", path):
                    known = (ROOT / path).exists() or (file.parent / path).exists()
                    known = known or ("/" not in path and path in names)
                else:
                    continue
                if not known:
                    yield f"{number}: no such path: {path}"


def sentences(lines):
    """(line number, words) of paragraphs and list items. Tables, headings and HTML are left out."""
    paragraph, start = [], 0
    for number, line in enumerate([*lines, ""], 1):
        begins_item = re.match(r"\s*(?:[-*]|\d+\.) ", line)
        ends = not line.strip() or line[0] in "|#<!" or line.lstrip().startswith(("<", "src="))
        if paragraph and (ends or begins_item):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph))
            text = re.sub(r"`[^`]*`", "code", text)
            for sentence in re.split(r"(?<=[.!?:])\s+", text):
                yield start, re.findall(r"[^\W_][\w'’.,+/-]*", sentence)
            paragraph = []
        if not ends:
            start = start if paragraph else number
            paragraph.append(re.sub(r"^\s*(?:[-*]|\d+\.) ", "", line))


def faults(file, names):
    text = file.read_text()
    lines = without_code(text)
    for number, line in enumerate(lines, 1):
        yield from link_faults(file, number, line)
        if file.name != "CHANGELOG.md":  # it names files as they were called then
            yield from path_faults(file, number, line, names)
    if file.name != "CHANGELOG.md":
        for number, words in sentences(lines):
            if len(words) > SENTENCE_WORDS:
                yield f"{number}: a sentence of {len(words)} words: {' '.join(words[:8])} ..."
    if file == ROOT / "README.md" and len(text.splitlines()) > README_LINES:
        yield f"{len(text.splitlines())}: more than {README_LINES} lines"


def folders_without_row():
    """The first column of README.md's table of places names every folder of compat and btm."""
    places = (ROOT / "README.md").read_text().partition("## Where things are")[2]
    cells = [line.split("|")[1] for line in places.splitlines() if line.startswith("|")]
    for above in ("compat", "btm"):
        named = " ".join(cell for cell in cells if above in cell)
        for folder in sorted((ROOT / above).iterdir()):
            if folder.is_dir() and not re.search(rf"\b{folder.name}\b", named):
                yield f"README.md: 'Where things are' leaves out {above}/{folder.name}"


def libraries_not_named():
    """compat/README.md names every library that CMakeLists.txt links to compat."""
    said = (ROOT / "compat/README.md").read_text().lower().replace("-", "_")
    linked = re.search(
        r"target_link_libraries\(compat\s+PUBLIC \$<BUILD_INTERFACE:btm_flags>([^)]*)\)",
        (ROOT / "CMakeLists.txt").read_text(),
    )
    for name in re.findall(r"\w+(?:::\w+)?", linked[1].replace("PRIVATE", "")):
        library = name.split("::")[-1].lower().removesuffix("_library")
        if library not in said:
            yield f"compat/README.md: does not name {library}, which compat links"


def main():
    names = {
        file.name
        for above in ("btm", "compat", "converters", "scripts", "tests", ".github", ".ci")
        for file in (ROOT / above).rglob("*")
    } | {file.name for file in ROOT.iterdir()}
    found = [
        f"{file.relative_to(ROOT)}:{fault}" for file in documents() for fault in faults(file, names)
    ]
    found += [*folders_without_row(), *libraries_not_named()]
    drawn = subprocess.run(
        [sys.executable, ROOT / "scripts/make_method_picture.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    found += drawn.stderr.splitlines()
    print("\n".join(found) if found else f"{len(documents())} documents are in order")
    return 1 if found or drawn.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
