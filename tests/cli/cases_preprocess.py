"""btm-convert preprocess with impossible destinations. tests/converters/preprocess_*_test.cpp tests
its output."""
from case import Case


def text(folder):
    (folder / "raw.txt").write_text("a b\n")


PREPROCESS = ["btm-convert", "preprocess", "--trainpref", "{tmp}/raw.txt"]

CASES = [
    Case(
        "no destination",
        PREPROCESS + ["--destdir", ""],
        2,
        setup=text,
        stderr=["--destdir is empty, expected a folder"],
    ),
    Case(
        "a destination inside a file",
        PREPROCESS + ["--destdir", "{tmp}/raw.txt/out"],
        1,
        setup=text,
        stderr=["raw.txt/out: cannot create: Not a directory"],
        prints_before_error=True,
    ),
    Case(
        "an empty folder of text",
        ["btm-convert", "preprocess", "--trainpref", "{tmp}", "--destdir", "{tmp}/out"],
        1,
        stderr=["no text in this folder, expected files named .txt"],
    ),
]
