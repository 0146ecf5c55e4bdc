"""Files of public bug reports, with fairseq's numbers (tests/golden/reports)."""
import pathlib
import shutil


from case import Case

REPORTS = pathlib.Path(__file__).resolve().parent.parent / "golden" / "reports"
DATA = "{golden}/reports/data"
FLAGS = ["--gen-subset", "test", "--tokens-per-sample", "32", "--batch-size", "4"]
LOSS = "Loss (base 2): 3.5214, Perplexity: 11.48"


def eval_lm(path, data=DATA):
    return ["btm", "eval-lm", data, "--path", path] + FLAGS


def average(*names):
    return [
        "btm",
        "average",
        "--output-dir",
        "merged",
        "--model-files",
        ":".join("{golden}/reports/" + name for name in names),
    ]


def preprocess(name):
    return [
        "btm-convert",
        "preprocess",
        "--only-source",
        "--testpref",
        "{golden}/reports/" + name,
        "--srcdict",
        DATA + "/dict.txt",
        "--destdir",
        "out",
    ]


def two_bytes_behind(folder):
    shutil.copy(REPORTS / "tied_new.pt", folder / "m.pt")
    with open(folder / "m.pt", "ab") as file:
        file.write(b"\n\n")


CASES = [
    Case(
        "a tensor with torch's negative bit", eval_lm("{golden}/reports/neg_bit.pt"), stdout=[LOSS]
    ),
    Case("bytes behind the archive", eval_lm("m.pt"), setup=two_bytes_behind, stdout=[LOSS]),
    Case(
        "fused projections in fairseq's settings",
        eval_lm("{golden}/reports/metaseq_qkv.pt"),
        1,
        prints_before_error=True,
        stderr=["metaseq_qkv.pt[model]: holds fused projections", "not metaseq's"],
    ),
    Case(
        "a model flattened by FSDP",
        eval_lm("{golden}/reports/metaseq_flat.pt"),
        1,
        prints_before_error=True,
        stderr=["metaseq_flat.pt: holds parameters that FSDP flattened, and no shard_metadata"],
    ),
    Case(
        "Megatron's index",
        eval_lm("{golden}/reports/tied_new.pt", "{golden}/reports/megatron"),
        1,
        stderr=["test.idx", "is an index of Megatron-LM or GPT-NeoX"],
    ),
    Case(
        "a tied model that leaves its output projection out",
        average("tied_new.pt", "tied_old.pt"),
        stdout=["merged"],
    ),
    Case("the same first", average("tied_old.pt", "tied_new.pt"), stdout=["merged"]),
    Case(
        "text of zstd with a window of 175 MiB",
        preprocess("window_175_mib.txt.zst"),
        stdout=["230000"],
    ),
    Case(
        "text of xz",
        preprocess("text.xz"),
        1,
        prints_before_error=True,
        stderr=["text.xz: is an xz file, expected plain text, gzip or zstd"],
    ),
]
