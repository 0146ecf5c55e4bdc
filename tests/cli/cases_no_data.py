"""No command gives a number when it computed none: for data without a token or with only padding,
for samples that are all too long, for a diverged model. Fails for a command in --help without a
case here."""
import dataclasses
import json
import pathlib
import re
import shutil
import struct

from case import Case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
OK, NAN = "{golden}/nan/ok.pt", "{golden}/nan/nan1.pt"  # of 16 positions
PAD, EOS, WORD = 1, 2, 5
NUMBERS = ["Perplexity", "ppl", "posterior", "Loss"]
KINDS = {
    "empty": ([], "holds no tokens"),
    "only padding": ([[PAD] * 6] * 3, "not padding"),
    "all too long": ([[WORD] * 40 + [EOS]] * 3, "nothing to evaluate in split"),
}


def write_split(prefix, sentences):
    """fairseq's mmap data-bin of uint16."""
    data = b"".join(struct.pack(f"<{len(sentence)}H", *sentence) for sentence in sentences)
    sizes = [len(sentence) for sentence in sentences]
    index = (
        b"MMIDIDX\x00\x00"
        + struct.pack("<QBQ", 1, 8, len(sizes))
        + struct.pack(f"<{len(sizes)}i", *sizes)
    )
    index += struct.pack(f"<{len(sizes)}q", *[2 * sum(sizes[:i]) for i in range(len(sizes))])
    prefix.with_suffix(".bin").write_bytes(data)
    prefix.with_suffix(".idx").write_bytes(index)


def data_of(sentences):
    def setup(folder):
        for place in (folder / "data", folder / "data" / "d"):
            place.mkdir()
            shutil.copy(GOLDEN / "nan" / "data" / "dict.txt", place)
            for split in ("train", "valid", "test", "test_d", "valid_d"):
                write_split(place / split, sentences)
        forest = folder / "forest" / "ok"
        forest.mkdir(parents=True)
        shutil.copy(GOLDEN / "nan" / "ok.pt", forest / "checkpoint_last.pt")

    return setup


RESULTS = (
    "result",
    "matrix.json",
    "matrix.csv",
    "report.html",
    "summary.json",
    "forest.json",
    "checkpoint_last.pt",
    "checkpoint_best.pt",
    "out.model",
    "priors",
    "dict.txt",
    "config.json",
    "rebuilt.bin",
)
GIVEN = ("/forest/ok/", "/forest/nan1/", "/data/")


def no_result(folder):
    left = [
        str(path)
        for path in folder.rglob("*")
        if path.name in RESULTS and not any(given in str(path) for given in GIVEN)
    ]
    assert not left, f"left behind: {left}"


COMMON = ["--sample-break-mode", "eos", "--no-score-cache", "--results-path", "result"]
EVALUATIONS = {
    "eval-lm": [
        "btm",
        "eval-lm",
        "data",
        "--path",
        OK,
        "--sample-break-mode",
        "eos",
        "--results-path",
        "result",
    ],
    "eval-lm of domains": [
        "btm",
        "eval-lm",
        "data",
        "--path",
        OK,
        "--sample-break-mode",
        "eos",
        "--results-path",
        "result",
        "--task",
        "multidomain_language_modeling",
    ],
    "ensemble-eval cached_prior": [
        "btm",
        "ensemble-eval",
        "data",
        "--path",
        f"{OK}:{OK}",
        "--ensemble-type",
        "cached_prior",
        "--precomputed-prior",
        "0.5,0.5",
        *COMMON,
    ],
    "ensemble-eval updating_prior": [
        "btm",
        "ensemble-eval",
        "data",
        "--path",
        f"{OK}:{OK}",
        "--ensemble-type",
        "updating_prior",
        *COMMON,
    ],
    "ensemble-eval simple_average": [
        "btm",
        "ensemble-eval",
        "data",
        "--path",
        f"{OK}:{OK}",
        "--ensemble-type",
        "simple_average",
        *COMMON,
    ],
    "ensemble-eval cluster_prior": [
        "btm",
        "ensemble-eval",
        "data",
        "--path",
        f"{OK}:{OK}",
        "--ensemble-type",
        "cluster_prior",
        "--cluster-model",
        "{golden}/cluster/two.model",
        "--cluster-post-process",
        "sentencepiece",
        *COMMON,
    ],
    "eval-matrix": ["btm", "eval-matrix", "data", f"a={OK}", "--sample-break-mode", "eos"],
    "eval-matrix with experts": [
        "btm",
        "eval-matrix",
        "data",
        f"a={OK}",
        f"b={OK}",
        "--experts",
        "all",
        "--average",
        "--sample-break-mode",
        "eos",
    ],
}


def no_data_cases():
    for kind, (sentences, message) in KINDS.items():
        for name, args in EVALUATIONS.items():
            warned = (
                name.endswith("cluster_prior") and kind != "empty"
            )  # the experts are in the order of the clusters
            yield Case(
                f"{name}, {kind}",
                args,
                1,
                stderr=[message],
                never=NUMBERS,
                prints_before_error=True,
                setup=data_of(sentences),
                check=no_result,
                lines_on_stderr=2 if warned else 1,
            )


DATA = "{golden}/nan/data"
DIVERGED = "nan1.pt: gives no probability (NaN or infinite) for target 1 of sample "


def left_out(folder):
    for line in (folder / "result").read_text().splitlines():
        row = json.loads(line)
        assert row["experts"] == ["nan1", "ok"] and row["left_out"] == ["nan1"], row
        assert (
            row["posterior"] == [0, 1] and row["exp_avg_posterior"] == [0, 1] and row["ppl"] > 1
        ), row


def matrix_without(folder):
    matrix = json.loads((folder / "eval-matrix" / "matrix.json").read_text())
    assert matrix["left_out"] == ["nan1"], matrix["left_out"]
    assert [row["name"] for row in matrix["rows"]] == ["ok", "ensemble uniform_prior"], matrix[
        "rows"
    ]
    assert (
        matrix["rows"][0]["mean"]["ppl_low"] is None and matrix["rows"][0]["mean"]["blocks"] < 10
    ), matrix["rows"][0]
    assert "Left out, diverged: nan1" in (folder / "eval-matrix" / "report.html").read_text()


def diverged_seed(folder):
    (folder / "seed").mkdir()
    shutil.copy(GOLDEN / "nan" / "nan1.pt", folder / "seed" / "checkpoint_last.pt")


def nothing_written(folder):
    left = [path.name for path in folder.iterdir() if path.name != "seed"]
    assert not left, f"left behind: {left}"


ENSEMBLE = [
    "btm",
    "ensemble-eval",
    DATA,
    "--path",
    f"{NAN}:{OK}",
    "--ensemble-type",
    "uniform_prior",
    "--no-score-cache",
    "--results-path",
    "result",
]
MATRIX = [
    "btm",
    "eval-matrix",
    "{golden}/nan/mx",
    f"nan1={NAN}",
    f"ok={OK}",
    "--experts",
    "nan1,ok",
    "--ensembles",
    "uniform_prior",
]


def fails(
    name, args, message, setup=None, check=no_result, status=1, lines=None, never=NUMBERS, needs=()
):
    return Case(
        name,
        args,
        status,
        stderr=[message],
        setup=setup,
        check=check,
        never=never,
        prints_before_error=True,
        lines_on_stderr=lines,
        needs=needs,
    )


def all_kinds(command, args, messages, status=1, **more):
    """One case for each kind of data in `messages`."""
    return [
        fails(
            f"{command}, {kind}",
            args,
            message,
            setup=data_of(KINDS[kind][0]),
            status=status,
            **more,
        )
        for kind, message in messages.items()
    ]


def of_text(command, args, messages):
    """One case for each text in `messages`."""
    texts = {"no text": "", "blank lines": "\n\n", "words unheard of": "zzz yyy\n"}
    return [
        fails(
            f"{command}, {kind}",
            args,
            message,
            setup=lambda folder, text=texts[kind]: (folder / "text.txt").write_text(text),
        )
        for kind, message in messages.items()
    ]


SHAPE = [
    "--arch",
    "transformer_lm_gpt3_small",
    "--decoder-layers",
    "1",
    "--decoder-embed-dim",
    "4",
    "--decoder-ffn-embed-dim",
    "8",
    "--decoder-attention-heads",
    "2",
    "--share-decoder-input-output-embed",
    "--batch-size",
    "2",
    "--lr",
    "1e-3",
    "--max-update",
    "2",
    "--cpu",
    "--sample-break-mode",
    "eos",
    "--tokens-per-sample",
    "16",
]
TRAIN = ["btm", "train", "data", *SHAPE, "--save-dir", "model"]


def training():
    yield from all_kinds("train", TRAIN, {"empty": "valid.bin: holds no tokens"})
    yield from all_kinds(
        "train",
        TRAIN,
        {"all too long": "3 samples of 'valid' are longer than the 16 tokens"},
        status=2,
    )
    yield from all_kinds(
        "train without validation",
        TRAIN + ["--disable-validation"],
        {"empty": "train.bin: holds no tokens"},
    )
    yield from all_kinds(
        "train without validation",
        TRAIN + ["--disable-validation"],
        {
            "all too long": "no sample of the training set fits --max-tokens and the model's "
            "positions"
        },
        status=2,
    )
    yield fails(
        "train from a diverged model",
        ["btm", "train", DATA, *SHAPE, "--save-dir", "model", "--finetune-from-model", NAN],
        "the loss of a batch is nan",
    )
    yield fails(
        "train until it diverges",
        ["btm", "train", DATA, *SHAPE, "--save-dir", "model", "--lr", "1e30"],
        "try a lower --lr",
    )


VALID = ["--valid-subset", "valid"]


def training_data(splits):
    """Makes data with and without a domain "d". `splits` has the sentences of each split."""

    def setup(folder):
        data_of([[WORD, WORD, EOS]] * 4)(folder)
        for split, sentences in splits.items():
            for place in (folder / "data", folder / "data" / "d"):
                write_split(place / split, sentences)

    return setup


def nothing_trained(folder):
    no_result(folder)
    assert not (folder / "model").exists(), "a save folder was left behind"


def training_cases():
    padding = [[PAD] * 6] * 3
    domains = [
        "--task",
        "multidomain_language_modeling",
        "--train-domains",
        "d",
        "--eval-domains",
        "d",
    ]
    for kind, more in {
        "": [],
        " of domains": domains,
        " unbalanced": [*domains, "--unbalanced"],
    }.items():
        yield Case(
            f"train{kind}, only padding",
            TRAIN + ["--disable-validation", *more],
            1,
            stderr=["split 'train' has no target that is not padding"],
            never=NUMBERS + ["loss"],
            prints_before_error=True,
            setup=training_data({"train": padding}),
            check=nothing_trained,
        )
        yield Case(
            f"train{kind}, only padding to validate",
            TRAIN + VALID + more,
            1,
            stderr=["split 'valid' has no target that is not padding"],
            never=NUMBERS + ["loss"],
            prints_before_error=True,
            setup=training_data({"valid": padding}),
            check=nothing_trained,
        )
    yield Case(
        "train, only padding in the first batches to validate",
        TRAIN + VALID + ["--max-valid-steps", "1"],
        1,
        stderr=["split 'valid' has no target that is not padding"],
        never=NUMBERS,
        prints_before_error=True,
        setup=training_data({"valid": [[PAD] * 2] * 8 + [[WORD, WORD, EOS]]}),
        check=nothing_trained,
    )
    yield Case(
        "train, all too long to validate",
        TRAIN + VALID + ["--skip-invalid-size-inputs-valid-test"],
        2,
        stderr=["no sample of 'valid' is left to validate on"],
        never=NUMBERS,
        prints_before_error=True,
        setup=training_data({"valid": [[WORD] * 40 + [EOS]] * 3}),
        check=nothing_trained,
    )
    yield Case(
        "train, some padding",
        TRAIN + VALID,
        stdout=["ppl"],
        setup=training_data({"valid": padding + [[WORD, EOS]], "train": padding + [[WORD, EOS]]}),
    )


def diverged_forest(folder):
    for name in ("ok", "nan1"):
        (folder / "forest" / name).mkdir(parents=True)
        shutil.copy(GOLDEN / "nan" / f"{name}.pt", folder / "forest" / name / "checkpoint_last.pt")


def not_complete(folder):
    document = json.loads((folder / "forest" / "forest.json").read_text())
    assert not [
        one for one in document["experts"] if one["name"] == "d" and one["complete"]
    ], document


def expert_add():
    def adding(start, *data):
        return [
            "btm",
            "expert",
            "add",
            "forest",
            "d",
            "--data",
            *data,
            "--cpu",
            "--from",
            start,
            "--",
            *SHAPE,
            "--disable-validation",
        ]

    for start in ("posterior", "nearest"):
        add = adding(start, "data")
        yield from all_kinds(
            f"expert add from {start}", add, {"empty": "valid_d.bin: holds no tokens"}, lines=2
        )
        yield from all_kinds(
            f"expert add from {start}",
            add,
            {"only padding": "has no target that is not padding"},
            lines=3 if start == "posterior" else 2,
        )
        yield fails(
            f"expert add from {start}, diverged",
            adding(start, DATA, "--split", "valid"),
            DIVERGED_EXPERT,
            setup=diverged_forest,
            lines=2,
        )
    yield fails(
        "expert add from the diverged",
        adding("nan1", DATA, "--split", "valid"),
        "the loss of a batch is nan",
        setup=diverged_forest,
        check=not_complete,
        lines=2,
    )


DIVERGED_EXPERT = "nan1/checkpoint_last.pt: gives no probability (NaN or infinite)"
AVERAGE = ["btm", "average", "--output-dir", "out", "--model-files", f"{OK}:{NAN}"]
NOT_FINITE = "nan1.pt: 'decoder.layer_norm.bias' holds infinity or NaN"
WEIGHTS = {
    "no results": "",
    "NaN": '{"exp_avg_posterior": [NaN, NaN]}',
    "null": '{"exp_avg_posterior": [null, 1]}',
    "no weights": '{"exp_avg_posterior": []}',
}


def average():
    for kind, text in WEIGHTS.items():
        yield fails(
            f"average by {kind}",
            AVERAGE + ["--weights-from", "weights"],
            "expected JSON with the numbers 'exp_avg_posterior'",
            setup=lambda folder, text=text: (folder / "weights").write_text(text),
        )
    for method in ("slerp", "task-arithmetic", "dare"):
        yield fails(
            f"average, {method}, diverged",
            AVERAGE + ["--method", method, *([] if method == "slerp" else ["--base-model", OK])],
            NOT_FINITE,
        )
    yield fails(
        "average, ties, diverged",
        AVERAGE + ["--method", "ties", "--base-model", OK],
        "differs from the base model by infinity or NaN",
    )
    yield Case(
        "average without the diverged, by the posterior",
        AVERAGE + ["--weights-from", "weights"],
        stdout=["weights 1,0"],
        setup=lambda folder: (folder / "weights").write_text('{"exp_avg_posterior": [1, 0]}'),
    )


CLUSTERS = "{golden}/cluster/two.model"
UNPLACED = "no document holds a term of the model"


def clusters():
    train = [
        "btm",
        "cluster",
        "train",
        "text.txt",
        "--num-clusters",
        "1",
        "--dimensions",
        "1",
        "--quiet",
        "-o",
        "out.model",
    ]
    nothing = "documents have terms that are kept, expected one or more for each of the"
    yield from [
        dataclasses.replace(case, status=2)
        for case in of_text("cluster train", train, {"blank lines": nothing})
    ]
    yield from of_text("cluster train", train, {"no text": "text.txt: holds no documents"})
    for name, flags in (
        ("assign", []),
        ("assign --balanced", ["--balanced"]),
        ("assign --output-dir", ["--output-dir", "out"]),
        ("prior", ["-o", "priors"]),
    ):
        args = ["btm", "cluster", name.split()[0], CLUSTERS]
        messages = {
            "no text": "text.txt: holds no documents",
            "blank lines": UNPLACED,
            "words unheard of": UNPLACED,
        }
        yield from of_text(f"cluster {name}", [*args, "text.txt", *flags], messages)
        yield from all_kinds(
            f"cluster {name}",
            [*args, "data/train", "--post-process", "sentencepiece", *flags],
            {"empty": "holds no documents", "only padding": UNPLACED, "all too long": UNPLACED},
            never=[*NUMBERS, "cluster", "0."],
        )
    yield Case(
        "cluster prior of a text half unheard of",
        ["btm", "cluster", "prior", CLUSTERS, "text.txt"],
        setup=lambda folder: (folder / "text.txt").write_text("cat\nzzz\n"),
        stderr=["text.txt: 1 of 2 documents hold no term of the model"],
        stdout=["0."],
    )


PLAN = "[data]\ndomains = a, b\nbin = data\n[train]\nupdates = 4\n"


def run():
    def plan(matrix=None):
        def setup(folder):
            data_of(KINDS["empty"][0])(folder)
            for domain in "ab":
                shutil.copytree(folder / "data" / "d", folder / "data" / domain)
            (folder / "my.plan").write_text(PLAN)
            if matrix is not None:
                (folder / "my-out" / "eval").mkdir(parents=True)
                (folder / "my-out" / "eval" / "matrix.json").write_text(json.dumps(matrix))

        return setup

    def no_verdict(folder):
        summary = json.loads((folder / "my-out" / "summary.json").read_text())
        assert summary["verdict"].startswith("No verdict: mean perplexity"), summary
        assert {one["seconds"] for one in summary["trainings"]} == {None}, summary

    cell = {
        "ppl": 2.0,
        "ppl_low": None,
        "ppl_high": None,
        "infinite": False,
        "loss_base2": 1.0,
        "bits_per_byte": None,
        "tokens": 9,
        "bytes": 0,
        "blocks": 1,
        "ratio": 1.0,
        "ratio_low": None,
        "ratio_high": None,
    }
    matrix = {
        "domains": ["a"],
        "experts": ["a"],
        "left_out": [],
        "fewest_blocks": 10,
        "block_tokens": 512,
        "baseline": "dense",
        "posteriors": {"a": {"cached_prior": [1], "batches": [[1]]}},
        "rows": [
            {"name": name, "kind": kind, "path": "", "cells": {"a": cell}, "mean": cell}
            for name, kind in (("dense", "model"), ("ensemble cached_prior", "ensemble"))
        ],
    }
    yield fails(
        "run, report without an evaluation",
        ["btm", "run", "my.plan", "--report"],
        "matrix.json: cannot open",
        setup=plan(),
    )
    yield fails(
        "run, report of nothing",
        ["btm", "run", "my.plan", "--report"],
        "matrix.json",
        setup=plan({}),
        check=None,
    )
    yield Case(
        "run, report of a single block",
        ["btm", "run", "my.plan", "--report"],
        stdout=["report: ", "/my-out/report.html\n"],
        setup=plan(matrix),
        check=no_verdict,
    )


CONVERT = "btm-convert"


def converting():
    preprocess = [
        CONVERT,
        "preprocess",
        "--only-source",
        "--trainpref",
        "text.txt",
        "--destdir",
        "out",
    ]
    yield from of_text("preprocess", preprocess, {"no text": "text.txt: no document for train"})
    yield from of_text(
        "train-sentencepiece",
        [CONVERT, "train-sentencepiece", "--input", "text.txt", "--model-prefix", "out"],
        {"no text": "no text to train on", "blank lines": "no text to train on"},
    )
    yield fails(
        "checkpoint, proof of a diverged model",
        [CONVERT, "checkpoint", NAN, "out", "--to", "hf", "--dict", "{golden}/nan/data/dict.txt"],
        "gives no probability",
        needs=["btm"],
    )

    def empty_bin(folder):
        shutil.copy(GOLDEN / "nan" / "data" / "dict.txt", folder / "data.txt")
        (folder / "train.bin").write_bytes(b"")

    yield fails(
        "repair of an empty file",
        [CONVERT, "repair", "train.bin", "rebuilt", "--dict", "data.txt"],
        "train.bin: holds no sequence that ends with </s>",
        setup=empty_bin,
    )


def others():
    yield fails(
        "branch from a folder without checkpoints",
        ["btm", "branch", "--old-folder", "old", "--new-folder", "new", "--phase-one-ratio", "0.5"],
        "checkpoint",
        setup=lambda folder: (folder / "old").mkdir(),
    )
    yield fails(
        "mix of a diverged expert",
        ["btm", "mix", f"a={OK}", f"b={NAN}", "--output", "out"],
        "holds infinity or NaN",
    )
    yield Case(
        "expert list, no perplexity known",
        ["btm", "expert", "list", "forest"],
        setup=diverged_forest,
        stdout=["nan1/checkpoint_last.pt  -      -"],
    )


def of_texts():
    """Commands whose input is text: nothing to score, and a diverged model."""
    flags = ["text.txt", "--data", DATA, "--bpe", "none"]
    several = f"a={OK}:b={OK}"
    yield from of_text("score", ["btm", "score", OK, *flags], {"blank lines": "1: is empty"})
    yield from of_text(
        "weigh",
        ["btm", "weigh", several, *flags],
        {"no text": "text.txt: is empty", "blank lines": "1: is empty"},
    )
    for command, models in {"score": NAN, "weigh": f"a={NAN}:b={OK}", "generate": NAN}.items():
        yield from of_text(
            f"{command}, diverged",
            ["btm", command, models, *(["--file"] if command == "generate" else []), *flags],
            {"words unheard of": "nan1.pt: gives no probability (NaN or infinite)"},
        )


WITHOUT_DATA = [
    *no_data_cases(),
    *training(),
    *training_cases(),
    *expert_add(),
    *average(),
    *clusters(),
    *run(),
    *converting(),
    *of_texts(),
    *others(),
]
COUNTS = "counts what is there, and shows or copies it"
FLAGS_ALONE = "computes with its flags alone"
CANNOT_LACK_DATA = {
    "btm cache clear": COUNTS,
    "btm cache list": COUNTS,
    "btm cluster name": COUNTS,
    "btm cluster show": COUNTS,
    "btm completion": FLAGS_ALONE,
    "btm doctor": "looks at the machine",
    "btm expert check": "tells what is wrong",
    "btm expert remove": COUNTS,
    "btm expert rename": COUNTS,
    "btm forest": COUNTS,
    "btm manual": FLAGS_ALONE,
    "btm plan": FLAGS_ALONE,
    "btm release": "prints a table of constants",
    "btm routing": "cases_mix.py has models without routers",
    "btm serve": "has no data before the first request",
    "btm-convert completion": FLAGS_ALONE,
    "btm-convert data-bin": COUNTS,
    "btm-convert inspect": COUNTS,
    "btm-convert manual": FLAGS_ALONE,
    "btm-convert verify": "tells what is wrong: tests/converters has NaN and empty files",
}
GROUPS = ["btm", "btm cache", "btm cluster", "btm expert", "btm-convert"]


def commands_of_help():
    """Checks that every command in --help has a case above or is in CANNOT_LACK_DATA."""
    commands = {
        " ".join(case.args[: 3 if " ".join(case.args[:2]) in GROUPS else 2])
        for case in WITHOUT_DATA
    } | set(CANNOT_LACK_DATA)
    for group in GROUPS:
        known = {
            command[len(group) :].split()[0]
            for command in commands
            if command.startswith(group + " ")
        }

        def same(text, known=known):
            named = set(re.findall(r"^  ([a-z][a-z-]*)  +\S", text, re.MULTILINE))
            assert (
                named == known
            ), f"in --help only: {sorted(named - known)}, here only: {sorted(known - named)}"

        yield Case(f"every command of {group}", group.split() + ["--help"], check_stdout=same)
    for command in sorted(commands):
        yield Case(f"{command} is one command", [*command.split(), "--help"], never=["COMMAND ..."])


CASES = [
    *WITHOUT_DATA,
    *commands_of_help(),
    Case(
        "eval-lm, diverged",
        ["btm", "eval-lm", DATA, "--path", NAN, "--results-path", "result"],
        1,
        stderr=[DIVERGED],
        never=NUMBERS,
        prints_before_error=True,
        check=no_result,
    ),
    Case(
        "ensemble-eval, diverged",
        ENSEMBLE,
        1,
        stderr=[DIVERGED, "; --skip-diverged leaves it out"],
        never=NUMBERS,
        prints_before_error=True,
        check=no_result,
    ),
    Case(
        "ensemble-eval without the diverged",
        ENSEMBLE + ["--skip-diverged"],
        stdout=["posterior: nan1 0.0000, ok 1.0000", "left out, diverged: nan1"],
        stderr=["it is left out of the ensemble"],
        check=left_out,
    ),
    Case(
        "eval-matrix, diverged",
        MATRIX,
        1,
        stderr=["nan1: gives no probability", "of domain 'd1'", "; --skip-diverged leaves it out"],
        never=NUMBERS,
        check=no_result,
    ),
    Case(
        "eval-matrix without the diverged",
        MATRIX + ["--skip-diverged"],
        stdout=[
            "left out, diverged: nan1",
            "An interval needs 10 blocks of 512 or more tokens",
            "domain has fewer: d1 needs about 4,608 more tokens (12 kB of text).",
        ],
        stderr=["it is left out"],
        check=matrix_without,
    ),
    Case(
        "average, diverged",
        ["btm", "average", "--model-files", f"{OK}:{NAN}", "--output-dir", "average"],
        1,
        stderr=["nan1.pt: '", "' holds infinity or NaN"],
        prints_before_error=True,
        check=nothing_written,
    ),
    Case(
        "branch, diverged",
        [
            "btm",
            "branch",
            "--old-folder",
            "seed",
            "--new-folder",
            "new",
            "--phase-one-update-num",
            "-1",
        ],
        1,
        stderr=["checkpoint_last.pt: '", "' holds nan at element "],
        setup=diverged_seed,
        check=nothing_written,
    ),
    Case(
        "--experts all without the seed",
        [
            "btm",
            "eval-matrix",
            "{golden}/nan/mx",
            f"seed={OK}",
            f"a={OK}",
            f"b={OK}",
            "--experts",
            "all",
            "--ensembles",
            "uniform_prior",
        ],
        stdout=["ensemble uniform_prior"],
        stderr=["--experts all leaves out the model named seed (name it to mix it): a,b"],
    ),
    Case(
        "the length of samples is that of the model",
        ["btm", "eval-lm", DATA, "--path", OK],
        stdout=["Evaluated 125 tokens"],
    ),
]
