"""A forest of three experts in golden data, and the flags that train a fourth like them."""
import pathlib
import shutil

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
DOMAINS = ["fortunes", "jargon", "politics"]
MACHINE = ["--cpu", "--num-threads", "1"]
BATCHES = ["--tokens-per-sample", "128", "--batch-size", "2"]
MODEL = [
    "--arch",
    "transformer_lm_gpt3_small",
    "--decoder-layers",
    "2",
    "--decoder-embed-dim",
    "64",
    "--decoder-ffn-embed-dim",
    "256",
    "--decoder-attention-heads",
    "4",
]
TRAIN = ["--", *MODEL, *BATCHES, *MACHINE, "--lr", "1e-3"]


def make_forest(forest):
    """Copies the experts to the folder `forest`, in the layout of the release."""
    for domain in DOMAINS:
        (forest / domain).mkdir(parents=True)
        shutil.copy(
            GOLDEN / "checkpoints" / f"elm_{domain}" / "checkpoint_last.pt", forest / domain
        )
