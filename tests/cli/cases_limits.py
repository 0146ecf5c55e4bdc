"""Limits: those of the shell's ulimit, and absurd numbers."""
import random
import resource

from case import Case

DATA_BIN = "{golden}/data-bin"
SEED = "{golden}/checkpoints/seed/checkpoint_last.pt"
KB = 1024


def text(folder):
    """Writes ten megabytes of random words."""
    draw = random.Random(1)
    words = [
        "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9)))
        for _ in range(20000)
    ]
    (folder / "text").write_text(
        "\n".join(" ".join(draw.choices(words, k=12)) for _ in range(120000))
    )


def nothing_but(*names):
    """Checks that the folder holds only these files, and no unfinished one."""

    def check(folder):
        left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        assert left == sorted(names), left

    return check


def file_size(kilobytes):
    return [(resource.RLIMIT_FSIZE, kilobytes * KB)]


def addresses(kilobytes):
    return [(resource.RLIMIT_AS, kilobytes * KB)]


def train_sentencepiece(name, kilobytes, *more, stderr):
    return Case(
        f"train-sentencepiece {name}",
        [
            "btm-convert",
            "train-sentencepiece",
            "--input",
            "text",
            "--model-prefix",
            "m",
            "--vocab-size",
            "1000",
        ]
        + list(more),
        1,
        setup=text,
        stderr=[stderr],
        check=nothing_but("text"),
        limits=addresses(kilobytes),
        timeout=30,
    )


TOO_LARGE = "File too large"
NO_MEMORY = "train-sentencepiece: error: out of memory: --input-sentence-size N trains on N lines"

CASES = [
    Case(
        "ulimit -f of preprocess",
        ["btm-convert", "preprocess", "--only-source", "--trainpref", "text", "--destdir", "out"],
        1,
        setup=text,
        stderr=[TOO_LARGE],
        check=nothing_but("out", "out/preprocess.json", "text"),
        limits=file_size(100),
        prints_before_error=True,
    ),
    Case(
        "ulimit -f of data-bin",
        ["btm-convert", "data-bin", DATA_BIN + "/fortunes/train", "out/train", "--to", "cached"],
        1,
        stderr=[TOO_LARGE],
        check=nothing_but("out"),
        limits=file_size(4),
    ),
    Case(
        "ulimit -f of checkpoint",
        ["btm-convert", "checkpoint", SEED, "out.safetensors"],
        1,
        stderr=["out.safetensors", TOO_LARGE],
        check=nothing_but(),
        limits=file_size(4),
    ),
    Case(
        "ulimit -f of average",
        ["btm", "average", "--model-files", f"{SEED}:{SEED}", "--output-dir", "out"],
        1,
        stderr=["out/checkpoint_last.pt", TOO_LARGE],
        check=nothing_but(),
        limits=file_size(4),
    ),
    train_sentencepiece("in 100 MB", 100000, stderr=NO_MEMORY),
    train_sentencepiece("in 150 MB", 150000, stderr=NO_MEMORY),
    train_sentencepiece("of 4 threads in 150 MB", 150000, "--workers", "4", stderr=NO_MEMORY),
    # Either the memory or the threads can run out first.
    train_sentencepiece(
        "of more threads than fit",
        100000,
        "--workers",
        "16",
        stderr="btm-convert train-sentencepiece: error: ",
    ),
    *[
        Case(
            f"--padding-factor of {command}",
            ["btm-convert", command, "--padding-factor", "1000000000"],
            2,
            stderr=["--padding-factor", "1000000000, expected at most 65536"],
        )
        for command in ("preprocess", "train-sentencepiece")
    ],
]
