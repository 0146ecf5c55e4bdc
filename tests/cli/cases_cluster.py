"""btm cluster."""
import json
import pathlib
import shutil

from case import Case

CBTM = pathlib.Path(__file__).parent.parent / "golden" / "cbtm" / "1.2.1"

TEXT = (
    "\n".join(
        [
            "the cat sat on the mat",
            "a cat and a mat",
            "stocks fell as markets closed",
            "markets rose and stocks too",
        ]
        * 4
    )
    + "\n"
)
TRAIN = [
    "btm",
    "cluster",
    "train",
    "corpus.txt",
    "--num-clusters",
    "2",
    "--dimensions",
    "2",
    "--quiet",
]


def corpus(folder):
    (folder / "corpus.txt").write_text(TEXT)


def not_a_model(folder):
    corpus(folder)
    (folder / "bad.model").write_bytes(b"BTMCLUS1\xff\xff\xff\xff")


def not_a_model_but_there(folder):
    corpus(folder)
    (folder / "out.model").write_bytes(b"")


def only_corpus(folder):
    assert [path.name for path in folder.iterdir()] == [
        "corpus.txt"
    ], f"left behind: {list(folder.iterdir())}"


def model_and_corpus(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["corpus.txt", "out.model"], list(
        folder.iterdir()
    )
    assert (folder / "out.model").read_bytes().startswith(b"BTMCLUS2")


def predicts_as_cbtm(text):
    found = [json.loads(line)["cluster"] for line in text.splitlines()]
    expected = [row[0] for row in json.loads((CBTM / "expected.json").read_text())]
    assert found == expected, "clusters differ from those of kmeans_pytorch"


SHOWN = [
    Case(
        "train over a model that is there",
        TRAIN + ["-o", "out.model"],
        1,
        setup=not_a_model_but_there,
        stderr=["out.model: is there already (--overwrite replaces it)"],
    ),
    Case(
        "stop words of a language without a list",
        TRAIN + ["-o", "out.model", "--stop-words", "latin"],
        2,
        setup=corpus,
        stderr=["'latin', expected auto, none, english, french, german or spanish"],
    ),
    Case(
        "a share of documents above 1",
        TRAIN + ["-o", "out.model", "--max-document-share", "2"],
        2,
        setup=corpus,
        stderr=["--max-document-share", "expected a number above 0 and at most 1"],
    ),
    Case(
        "an unknown balance",
        TRAIN + ["-o", "out.model", "--balance", "words"],
        2,
        setup=corpus,
        stderr=["'words', expected one of tokens, documents, none"],
    ),
]

CASES = [
    *SHOWN,
    Case(
        "help",
        ["btm", "cluster", "--help"],
        stdout=["usage: btm cluster COMMAND", "assign", "prior", "show"],
    ),
    Case(
        "help of train",
        ["btm", "cluster", "train", "--help"],
        stdout=["usage: btm cluster train INPUT", "--num-clusters"],
    ),
    Case(
        "help of assign",
        ["btm", "cluster", "assign", "--help"],
        stdout=["usage: btm cluster assign MODEL INPUT", "--output-dir"],
    ),
    Case(
        "help of prior",
        ["btm", "cluster", "prior", "--help"],
        stdout=["usage: btm cluster prior MODEL INPUT", "--topk"],
    ),
    Case(
        "help of show",
        ["btm", "cluster", "show", "--help"],
        stdout=["usage: btm cluster show MODEL"],
    ),
    Case("no command", ["btm", "cluster"], stdout=["usage: btm cluster COMMAND", "  assign "]),
    Case(
        "a mistyped command",
        ["btm", "cluster", "tran"],
        2,
        stderr=["btm cluster: error: unknown command 'tran', did you mean train?"],
    ),
    Case(
        "train",
        TRAIN + ["-o", "out.model", "--balance", "documents"],
        setup=corpus,
        stdout=["cluster 0: 8 documents, ", "cluster 1: 8 documents, "],
        check=model_and_corpus,
    ),
    Case(
        "a mistyped flag",
        TRAIN + ["-o", "out.model", "--num-cluster", "3"],
        2,
        setup=corpus,
        stderr=["unknown flag '--num-cluster', did you mean --num-clusters?"],
    ),
    Case(
        "no clusters",
        TRAIN + ["-o", "out.model", "--num-clusters", "0"],
        2,
        setup=corpus,
        stderr=["flag --num-clusters: 0, expected at least 1"],
    ),
    Case("no output", TRAIN, 2, setup=corpus, stderr=["--output is missing, expected a file"]),
    Case(
        "more clusters than documents",
        TRAIN + ["-o", "out.model", "--num-clusters", "99"],
        2,
        setup=corpus,
        stderr=["expected one or more for each of the 99 clusters"],
        check=only_corpus,
    ),
    Case(
        "text that is not there",
        ["btm", "cluster", "train", "none.txt", "-o", "out.model"],
        1,
        stderr=["none.txt"],
    ),
    Case(
        "a model into a folder that is not there",
        TRAIN + ["-o", "no/out.model"],
        1,
        setup=corpus,
        stderr=["no/out.model: cannot create"],
        check=only_corpus,
    ),
    # The output folder is checked before the text and the model are read.
    Case(
        "a model of nothing into no folder",
        ["btm", "cluster", "train", "none.txt", "-o", "no/out.model"],
        1,
        stderr=["no/out.model: cannot create"],
    ),
    Case(
        "a split into a file",
        ["btm", "cluster", "assign", "none.model", "none.txt", "--output-dir", "corpus.txt/out"],
        1,
        setup=corpus,
        stderr=["corpus.txt: is not a folder"],
        check=only_corpus,
    ),
    Case(
        "priors into a folder that is not there",
        ["btm", "cluster", "prior", "none.model", "none.txt", "-o", "no/priors"],
        1,
        stderr=["no/priors: cannot create"],
    ),
    Case(
        "a model to a device",
        TRAIN + ["-o", "/dev/full"],
        1,
        setup=corpus,
        stderr=["/dev/full: is a device or FIFO, expected a file to write"],
    ),
    Case(
        "standard output on a full disk",
        TRAIN + ["-o", "out.model"],
        1,
        setup=corpus,
        stdout_to="/dev/full",
        stderr=["standard output: cannot write"],
    ),
    Case(
        "a model that is not there",
        ["btm", "cluster", "show", "none.model"],
        1,
        stderr=["none.model: cannot open: No such file or directory"],
    ),
    Case(
        "text for a model",
        ["btm", "cluster", "prior", "corpus.txt", "corpus.txt"],
        1,
        setup=corpus,
        stderr=["corpus.txt", "is no cluster model of btm (see btm cluster train)"],
    ),
    Case(
        "a damaged model",
        ["btm", "cluster", "assign", "bad.model", "corpus.txt"],
        1,
        setup=not_a_model,
        stderr=["bad.model", "the terms are of kind 4294967295, expected 0 (words), 1 (pieces) or"],
    ),
    Case(
        "a temperature of 0",
        ["btm", "cluster", "prior", "bad.model", "corpus.txt", "--temperature", "0"],
        2,
        setup=not_a_model,
        stderr=["--temperature"],
    ),
    Case(
        "a clusterer of c-BTM",
        [
            *("btm", "cluster", "assign", "{golden}/cbtm/1.2.1", "{golden}/cbtm/lines.txt"),
            *("--balance", "none"),
        ],
        check_stdout=predicts_as_cbtm,
    ),
    Case(
        "half a clusterer of c-BTM",
        ["btm", "cluster", "show", "{tmp}"],
        1,
        setup=lambda folder: shutil.copy(CBTM / "tfidf.pkl", folder),
        stderr=["kmeans.pkl: cannot open: No such file or directory"],
    ),
]
