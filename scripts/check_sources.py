#!/usr/bin/env python3
"""Checks rules of this project: one place for each risky call, short lines, functions and files.

Exit 1 with a line per violation. --lengths prints the lengths of the functions, and how many lines
of tests there are for a line of code.
"""
import argparse
import ast
import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM_FOLDERS = ("compat", "btm", "converters")
FOLDERS = PROGRAM_FOLDERS + ("scripts", "tests", ".ci")
DATA = ("tests/golden/", "tests/fuzz/corpus/")
MAX_COLUMNS = 100
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 450  # outside tests
# Files that are longer still: none may be added.
LONGER_FILES: dict[str, int] = {}
MAX_95TH_PERCENTILE = 30  # of the functions' lengths in PROGRAM_FOLDERS

# (a pattern that lines may not match, the files in which they may, the reason)
RULES = [
    (
        re.compile(
            r"\bjson::(parse|sax_parse|from_(cbor|bson|msgpack|ubjson))\b"
            r"|\bJson::(parse|sax_parse)\b|>> *(json|Json)\b"
        ),
        {
            "compat/io/json_text.cpp",
            "compat/fairseq/config_json.cpp",
            "compat/huggingface/safetensors.cpp",
            "converters/text_documents.cpp",
        },
        "JSON is parsed with compat/io/json_text.h, which limits its nesting and size",
    ),
    # kProblem is a constant of the source, printed where no stream can be used.
    (
        re.compile(
            r"\b(v?printf|v?dprintf|puts|putchar|perror|psignal) *\(|\bstd(out|err)\b"
            r"|\bwrite *\( *(STD(OUT|ERR)_FILENO|[12]) *,(?! *kProblem\b)"
            r"|\bstd::(clog|wcout|wcerr|wclog|print|println)\b|\bstd::(cout|cerr)\.rdbuf\b"
            r"|/dev/(tty|stdout|stderr|fd)\b"
        ),
        {"compat/program/console.cpp", "compat/io/lost_files.cpp", "btm/trainer/train_log.cpp"},
        "output is printed with std::cout and std::cerr, which compat/program/console escapes",
    ),
]

# Comments, and literals in which a brace or a newline says nothing about the program.
CXX_LITERAL = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)
CXX_SCOPE = re.compile(
    r"^(?:template *<.*> *)?(?:inline +)?(namespace|class|struct|union|enum|extern)\b"
)


def cxx_functions(text: str) -> list[tuple[str, int, int]]:
    """(head, first line, number of lines) of every function defined in `text`.

    Counts braces. A body opens after a parameter list, outside every other body; clang-format puts
    a space before it, and none before the brace of an initialiser.
    """
    text = CXX_LITERAL.sub(
        lambda found: re.sub(r"[^\n]", " " if found[0].startswith("/") else "_", found[0]), text
    )
    text = re.sub(r"^ *#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b(public|private|protected) *:", "", text)
    functions, opened, start = [], [], 0  # start: where the current statement begins
    for place, character in ((m.start(), m.group()) for m in re.finditer(r"[{};]", text)):
        inside_body = "body" in opened
        if character == ";":
            start = place + 1 if "value" not in opened else start
        elif character == "{":
            head = text[start:place]
            words = re.sub(r"\[\[\w+\]\]", "", head).strip()
            if inside_body or words.endswith(("=", ",", "(")) or not head[-1:].isspace():
                opened.append("value")
            elif CXX_SCOPE.match(words) and not words.endswith(")"):
                opened.append("scope")
                start = place + 1
            elif "(" in words:
                opened.append("body")
                first = text.count("\n", 0, start + len(head) - len(head.lstrip())) + 1
                functions.append([words.split("\n")[0], first, 0])
            else:
                opened.append("value")
        elif opened:
            kind = opened.pop()
            if kind == "body":
                functions[-1][2] = text.count("\n", 0, place) + 2 - functions[-1][1]
            if kind != "value":
                start = place + 1
    return [tuple(function) for function in functions]


def python_functions(text: str) -> list[tuple[str, int, int]]:
    return [
        (f"def {node.name}", node.lineno, node.end_lineno - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def shell_functions(text: str) -> list[tuple[str, int, int]]:
    return [
        (found[1], text.count("\n", 0, found.start()) + 1, found[0].count("\n") + 1)
        for found in re.finditer(r"^([\w-]+)\(\) \{\n.*?^\}", text, re.MULTILINE | re.DOTALL)
    ]


def language_of(name: str, text: str) -> str:
    """'cxx', 'python', 'shell', 'cmake', or '' for what is no source of a program."""
    suffix = pathlib.PurePath(name).suffix
    if suffix in (".h", ".cpp"):
        return "cxx"
    if suffix == ".cmake" or name.endswith("CMakeLists.txt"):
        return "cmake"
    first_line = text.split("\n", 1)[0] if not suffix else ""
    if suffix == ".py" or re.match("#!.*python", first_line):
        return "python"
    if suffix == ".sh" or re.match("#!.*sh$", first_line):
        return "shell"
    return ""


def sources() -> list[tuple[str, str, str]]:
    """(name, language, text) of every source file."""
    found = []
    files = [ROOT / "CMakeLists.txt"]
    for folder in FOLDERS:
        files += sorted((ROOT / folder).rglob("*"))
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        if name.startswith(DATA) or "__pycache__" in name or not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if language := language_of(name, text):
            found.append((name, language, text))
    return found


def check_lines(name: str, language: str, text: str) -> list[str]:
    breaches = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_COLUMNS:
            breaches.append(f"{name}:{number}: {len(line)} columns, at most {MAX_COLUMNS}")
        if language == "cxx" and name.startswith(PROGRAM_FOLDERS):
            code = line.split("//")[0]
            breaches += [
                f"{name}:{number}: {why}"
                for pattern, allowed, why in RULES
                if name not in allowed and pattern.search(code)
            ]
    return breaches


def check_length(name: str, text: str) -> list[str]:
    most, lines = LONGER_FILES.get(name, MAX_FILE_LINES), text.count("\n")
    if lines <= most or name.startswith("tests/"):
        return []
    return [f"{name}: a file of {lines} lines, at most {most}: split what it does"]


def tests_per_code(found: list[tuple[str, str, str]]) -> float:
    """Lines of C++ and Python in tests/ for each line of C++ in PROGRAM_FOLDERS."""
    tests, code = 0, 0
    for name, language, text in found:
        if name.startswith("tests/") and language in ("cxx", "python"):
            tests += text.count("\n")
        elif language == "cxx" and name.startswith(PROGRAM_FOLDERS):
            code += text.count("\n")
    return tests / code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--lengths", action="store_true", help="print the lengths and the share of tests"
    )
    arguments = parser.parse_args()
    measures = {"cxx": cxx_functions, "python": python_functions, "shell": shell_functions}
    breaches, lengths, longest = [], [], []
    found = sources()
    for name, language, text in found:
        breaches += check_lines(name, language, text) + check_length(name, text)
        if name.startswith("tests/") or language not in measures:
            continue
        for head, first, lines in measures[language](text):
            if lines > MAX_FUNCTION_LINES:
                breaches.append(
                    f"{name}:{first}: a function of {lines} lines, at most {MAX_FUNCTION_LINES}"
                )
            if language == "cxx":
                lengths.append(lines)
                longest.append((lines, f"{name}:{first}: {head}"))
    percentile = statistics.quantiles(lengths, n=20)[-1]
    if percentile > MAX_95TH_PERCENTILE:
        breaches.append(
            f"functions' 95th percentile is {percentile:.0f} lines, at most {MAX_95TH_PERCENTILE}"
        )
    if arguments.lengths:
        for lines, place in sorted(longest)[-20:]:
            print(f"{lines:4} {place}")
        print(
            f"{len(lengths)} functions in {', '.join(PROGRAM_FOLDERS)}:"
            f" median {statistics.median(lengths):.0f} lines, 95th percentile {percentile:.0f}"
        )
        print(f"{tests_per_code(found):.2f} lines of tests for a line of code")
    print("\n".join(breaches) if breaches else "sources keep the rules")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
