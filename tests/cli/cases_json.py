"""Every reader of JSON gets JSON that nests 100,000 deep. It must report an error or ignore the
record, never crash."""
import struct

from case import Case

DEEP = "[" * 100_000
TOO_DEEP = "nests deeper than 512 levels"
CHECKPOINT = "{golden}/checkpoints/demix_fork/dense/checkpoint_last.pt"


def write(name, text):
    def setup(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return setup


def both(*setups):
    def setup(folder):
        for one in setups:
            one(folder)

    return setup


def safetensors(folder):
    header = ('{"a":' + DEEP).encode()
    (folder / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def preprocessed(folder):
    (folder / "t.txt").write_text("a b\n")
    write("out/preprocess.json", DEEP)(folder)


def jsonl_data(folder):
    write("data/dict.txt", "a 1\n")(folder)
    write("data/test.jsonl", '{"ids": ' + DEEP)(folder)


def nothing_remembered(folder):
    assert (folder / "out/train.bin").stat().st_size > 0
    assert "[[" not in (folder / "out/preprocess.json").read_text()


CONVERT = ["btm-convert", "checkpoint"]
HF = write("hf/config.json", '{"model_type": "opt"}')

CASES = [
    Case(
        "config.json",
        CONVERT + ["hf", "o.pt"],
        1,
        setup=both(write("hf/config.json", DEEP), write("hf/pytorch_model.bin", "")),
        stderr=["config.json: nests deeper than 64 levels"],
    ),
    Case(
        "the index of a sharded folder",
        CONVERT + ["hf", "o.pt"],
        1,
        setup=both(HF, write("hf/model.safetensors.index.json", DEEP)),
        stderr=["model.safetensors.index.json: " + TOO_DEEP],
    ),
    Case(
        "a safetensors header",
        CONVERT + ["x.safetensors", "o.pt"],
        1,
        setup=safetensors,
        stderr=["x.safetensors", "the header nests deeper than 8 levels"],
    ),
    Case(
        "encoder.json",
        [
            "btm-convert",
            "preprocess",
            "--only-source",
            "--bpe",
            "gpt2",
            "--gpt2-encoder-json",
            "e.json",
            "--gpt2-vocab-bpe",
            "v.bpe",
            "--trainpref",
            "t.txt",
            "--destdir",
            "out",
        ],
        1,
        setup=both(write("e.json", DEEP), write("v.bpe", ""), write("t.txt", "a\n")),
        stderr=["e.json: " + TOO_DEEP],
    ),
    Case(
        "JSONL text",
        [
            "btm-convert",
            "preprocess",
            "--only-source",
            "--trainpref",
            "t.jsonl",
            "--destdir",
            "out",
        ],
        1,
        setup=write("t.jsonl", '{"x": ' + DEEP),
        stderr=["t.jsonl", "not a JSON object with a text"],
    ),
    Case(
        "preprocess.json counts as missing",
        ["btm-convert", "preprocess", "--only-source", "--trainpref", "t.txt", "--destdir", "out"],
        setup=preprocessed,
        check=nothing_remembered,
    ),
    Case(
        "JSONL of a data-bin",
        ["btm-convert", "data-bin", "data", "out", "--to", "mmap"],
        1,
        setup=jsonl_data,
        stderr=["test.jsonl[line 1]"],
    ),
    Case(
        "forest.json",
        ["btm", "expert", "list", "f"],
        1,
        setup=write("f/forest.json", DEEP),
        stderr=["forest.json: " + TOO_DEEP],
    ),
    Case(
        "results for weights",
        [
            "btm",
            "average",
            "--output-dir",
            "o",
            "--weights-from",
            "w.jsonl",
            "--model-files",
            f"{CHECKPOINT}:{CHECKPOINT}",
        ],
        1,
        setup=write("w.jsonl", DEEP + "\n"),
        stderr=["w.jsonl: the last line is '[["],
    ),
    Case(
        "documents of a cluster model",
        ["btm", "cluster", "train", "d.jsonl", "--num-clusters", "2", "--output", "m"],
        1,
        setup=write("d.jsonl", '{"text": ' + DEEP + "\n"),
        stderr=["d.jsonl[line 1]: is no JSON object"],
    ),
]
