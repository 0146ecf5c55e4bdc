"""btm-convert preprocess: impossible destinations, fairseq's other encoders.

tests/converters/preprocess_*_test.cpp tests its output."""
from case import Case


def text(folder):
    (folder / "raw.txt").write_text("a b\n")


def has_symbols(*symbols):
    def check(folder):
        words = [line.split(" ")[0] for line in (folder / "out/dict.txt").read_text().split("\n")]
        found = [word for word in words if word and not word.startswith("madeupword")]
        assert sorted(found) == sorted(symbols), words

    return check


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
    Case(
        "bytes",
        PREPROCESS + ["--destdir", "{tmp}/out", "--bpe", "bytes"],
        setup=text,
        stdout=["dictionary: 8 types"],
        check=has_symbols("a", "b", "\u2581"),
    ),
    Case(
        "fastBPE",
        PREPROCESS
        + ["--destdir", "{tmp}/out", "--bpe", "fastbpe", "--bpe-codes", "{golden}/encoders/codes"],
        setup=lambda folder: (folder / "raw.txt").write_text("the absurd\n"),
        stdout=["dictionary: 16 types"],
        check=has_symbols("the", "ab@@", "su@@", "r@@", "d"),
    ),
    Case(
        "a tokenizer that is not reproduced",
        PREPROCESS + ["--destdir", "{tmp}/out", "--tokenizer", "nltk"],
        2,
        setup=text,
        stderr=["--tokenizer nltk is not reproduced here", "then use --tokenizer space"],
    ),
    Case(
        "moses without its tables",
        PREPROCESS + ["--destdir", "{tmp}/out", "--tokenizer", "moses"],
        2,
        setup=text,
        stderr=["--tokenizer moses needs --moses-data"],
    ),
    Case(
        "moses with a folder that holds no tables",
        PREPROCESS + ["--destdir", "{tmp}/out", "--tokenizer", "moses", "--moses-data", "{tmp}"],
        1,
        setup=text,
        stderr=["has no folders perluniprops and nonbreaking_prefixes"],
    ),
    Case(
        "moses",
        PREPROCESS
        + ["--destdir", "{tmp}/out", "--tokenizer", "moses", "--moses-data", "{golden}/moses"],
        setup=lambda folder: (folder / "raw.txt").write_text("He's (not) here, Mr. Smith.\n"),
        check=has_symbols("&apos;s", "(", ")", "He", "not", "here", ",", "Mr.", "Smith", "."),
    ),
    Case(
        "fastBPE without its codes",
        PREPROCESS + ["--destdir", "{tmp}/out", "--bpe", "fastbpe"],
        2,
        setup=text,
        stderr=["--bpe fastbpe needs --bpe-codes"],
    ),
]
