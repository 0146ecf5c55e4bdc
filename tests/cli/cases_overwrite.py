"""Results that are there already: refused without --overwrite, and replaced with it. What can be
resumed goes on instead."""
import pathlib
import re

from case import Case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"

FORTUNES = "{golden}/checkpoints/elm_fortunes/checkpoint_last.pt"
JARGON = "{golden}/checkpoints/elm_jargon/checkpoint_last.pt"
DATA = ["{golden}/data-bin/fortunes", "--gen-subset", "test_fortunes", "--tokens-per-sample", "128"]
SET = "{golden}/data-bin/fortunes/test_fortunes"

# Commands of one model or expert, which write to the file or folder after the last flag.
WRITERS = [
    (
        "average",
        ["btm", "average", "--model-files", f"{FORTUNES}:{JARGON}", "--output-dir", "out"],
        "out/checkpoint_last.pt",
    ),
    ("eval-lm", ["btm", "eval-lm", *DATA, "--path", FORTUNES, "--results-path", "out"], "out"),
    (
        "ensemble-eval",
        [
            *["btm", "ensemble-eval", *DATA, "--path", f"{FORTUNES}:{JARGON}", "--no-score-cache"],
            *["--ensemble-type", "uniform_prior", "--results-path", "out"],
        ],
        "out",
    ),
    (
        "generate",
        [
            *["btm", "generate", FORTUNES, "a", "--data", "{golden}/data-bin", "--bpe", "none"],
            *["--max-len-b", "4", "--results-path", "out"],
        ],
        "out",
    ),
    (
        "weigh",
        [
            *["btm", "weigh", f"{FORTUNES}:{JARGON}", "text", "--data", "{golden}/data-bin"],
            *["--bpe", "none", "--out", "out"],
        ],
        "out/weigh.json",
    ),
    ("cluster train", ["btm", "cluster", "train", SET, "--num-clusters", "2", "-o", "out"], "out"),
    (
        "cluster assign",
        [
            *["btm", "cluster", "assign", "{golden}/cluster/two.model", SET, "--output-dir", "out"],
            *["--post-process", "sentencepiece"],
        ],
        "out/c1/test_c1.idx",
    ),
    (
        "cluster assign of text",
        ["btm", "cluster", "assign", "{golden}/cluster/two.model", "cats", "--output-dir", "out"],
        "out/c0/cats",
    ),
    ("completion", ["btm", "completion", "bash", "-o", "out"], "out"),
    ("manual", ["btm", "manual", "--output-dir", "out"], "out/btm-train.1"),
    (
        "preprocess",
        ["btm-convert", "preprocess", "--trainpref", "text", "--destdir", "out"],
        "out/train.bin",
    ),
    ("completion of btm-convert", ["btm-convert", "completion", "zsh", "-o", "out"], "out"),
    (
        "manual of btm-convert",
        ["btm-convert", "manual", "--output-dir", "out"],
        "out/btm-convert.1",
    ),
    ("data-bin", ["btm-convert", "data-bin", SET, "out/test"], "out/test.bin"),
    (
        "data-bin of a folder",
        ["btm-convert", "data-bin", "{golden}/data-bin", "out"],
        "out/dict.txt",
    ),
    ("checkpoint", ["btm-convert", "checkpoint", FORTUNES, "out"], "out"),
    ("safetensors", ["btm-convert", "checkpoint", FORTUNES, "out", "--to", "safetensors"], "out"),
    (
        "several checkpoints",
        ["btm-convert", "checkpoint", "{golden}/checkpoints/demix", "out"],
        "out/rank-0/checkpoint_last.pt",
    ),
    ("repair", ["btm-convert", "repair", FORTUNES, "out", "--dict", "dict"], "out"),
    (
        "train-sentencepiece",
        [
            *["btm-convert", "train-sentencepiece", "--input", "text", "--vocab-size", "20"],
            *["--model-prefix", "out/a", "--dict", "out/d"],
        ],
        "out/d",
    ),
]

# Commands whose cases are in cases_mix.py.
ELSEWHERE = {"btm": ["mix", "routing"], "btm-convert": []}
# Every other command, and why it has no --overwrite.
WITHOUT = {
    "btm": {
        "branch": "prints False where the branch exists, as the release does",
        "cache clear": "writes nothing",
        "cache list": "writes nothing",
        "cluster name": "changes a file of names",
        "doctor": "writes nothing",
        "eval-matrix": "takes up the scores that are there",
        "expert add": "resumes",
        "expert check": "writes nothing",
        "expert list": "writes nothing",
        "expert remove": "takes away",
        "expert rename": "refuses a name that is taken",
        "forest": "writes nothing",
        "plan": "writes nothing",
        "release": "refuses, because the scripts may have been edited",
        "run": "resumes, and sets aside what it replaces",
        "score": "writes to standard output",
        "serve": "writes nothing",
        "train": "resumes",
    },
    "btm-convert": {"inspect": "writes nothing", "verify": "writes nothing"},
}


def there_already(name):
    def setup(folder):
        text(folder)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")

    return setup


def text(folder):
    (folder / "text").write_text("some words of a text, and some more words\n" * 20)
    (folder / "cats").write_text("cat\n")
    known = (GOLDEN / "data-bin/dict.txt").read_text()
    (folder / "dict").write_text(known + "".join(f"madeupword{i:04} 0\n" for i in range(90, 98)))


def stays(name):
    def check(folder):
        assert (folder / name).read_text() == "mine"
        assert {path.name for path in folder.iterdir()} == {"text", "cats", "dict", "out"}, list(
            folder.iterdir()
        )

    return check


def is_replaced(name):
    def check(folder):
        assert (folder / name).read_bytes() != b"mine"

    return check


def cases_of(name, args, output):
    refused = "is there already (--overwrite replaces it)"
    return [
        Case(
            f"{name} over a result",
            args,
            1,
            stderr=[refused],
            setup=there_already(output),
            check=stays(output),
            prints_before_error=True,
        ),
        Case(
            f"{name} --overwrite",
            args + ["--overwrite"],
            setup=there_already(output),
            check=is_replaced(output),
        ),
    ]


CASES = [case for writer in WRITERS for case in cases_of(*writer)]
CASES += [
    Case(
        f"{program} {command} {why}",
        [program, *command.split(), "--help"],
        stdout=["usage: "],
        never=["--overwrite"],
    )
    for program, commands in WITHOUT.items()
    for command, why in commands.items()
]


def has_a_rule(program):
    """Every command of `program --help` is among the above."""
    known = {command.split()[0] for command in WITHOUT[program]}
    known |= {args[1] for _, args, _ in WRITERS if args[0] == program} | {*ELSEWHERE[program]}

    def check(shown):
        commands = re.findall(r"^  (\S+)  +\S", shown, re.MULTILINE)
        assert commands and set(commands) <= known, set(commands) - known

    return check


CASES += [
    Case(
        f"every command of {program} has a rule",
        [program, "--help"],
        check_stdout=has_a_rule(program),
    )
    for program in WITHOUT
]


def more_than_the_result(folder):
    there_already("out/dict.txt")(folder)
    (folder / "out/diary.txt").write_text("mine")


def linked_folder(folder):
    (folder / "real").mkdir()
    (folder / "real/dict.txt").write_text("mine")
    (folder / "out").symlink_to("real")


def link_stays(folder):
    assert (folder / "out").is_symlink()
    assert (folder / "real/dict.txt").read_bytes() != b"mine"


def a_page(name):
    def setup(folder):
        text(folder)
        (folder / "out").mkdir()
        (folder / "out" / name).write_text("mine")

    return setup


CASES += [
    Case(
        "data-bin through a link replaces the folder that it names",
        ["btm-convert", "data-bin", "{golden}/data-bin", "out", "--overwrite"],
        setup=linked_folder,
        check=link_stays,
    ),
    Case(
        "a page is not replaced either",
        [*WRITERS[4][1]],
        1,
        stderr=["out/weigh.html: is there already (--overwrite replaces it)"],
        setup=a_page("weigh.html"),
        check=stays("out/weigh.html"),
    ),
]
CASES += [
    Case(
        "a folder is not replaced where something would be lost",
        ["btm-convert", "data-bin", "{golden}/data-bin", "out", "--overwrite"],
        1,
        stderr=["out: holds 'diary.txt', which the new folder does not"],
        setup=more_than_the_result,
        check=stays("out/diary.txt"),
        prints_before_error=True,
    )
]
