"""btm serve: command lines. tests/btm/serve/end_to_end.py speaks to running servers."""
import pathlib

from case import Case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
SEED = "{golden}/checkpoints/seed/checkpoint_last.pt"
TEXT = [
    "--data",
    "{golden}/data-bin",
    "--sentencepiece-model",
    "{golden}/corpus/spm.model",
    "--cpu",
]


def serve(*args):
    return ["btm", "serve", *args]


def usage(name, args, *phrases):
    return Case(name, args, 2, stderr=phrases)


def write_key(content):
    return lambda folder: (folder / "key").write_bytes(content)


def write_short_dictionary(folder):
    lines = (GOLDEN / "data-bin/dict.txt").read_text().splitlines(keepends=True)
    (folder / "dict.txt").write_text("".join(lines[:-8]))


CASES = [
    Case(
        "help",
        serve("--help"),
        stdout=["--api-key-file", "--max-queue", "/v1/completions", "--ensemble-type"],
    ),
    Case(
        "a server that is interrupted",
        serve(SEED, *TEXT, "--port", "0"),
        interrupt_at="at http://127.0.0.1:",
        stderr=["1 model at http://", "SIGINT: answers running requests, and ends"],
    ),
    Case(
        "a server without a key for all of the network",
        serve(SEED, *TEXT, "--port", "0", "--host", "0.0.0.0"),
        interrupt_at="at http://0.0.0.0:",
        stderr=["no key is asked for: whoever reaches 0.0.0.0 may use the models"],
    ),
    usage("no model", serve(), "missing MODELS"),
    usage("a port that is none", serve(SEED, *TEXT, "--port", "70000"), "at most 65535"),
    usage("a huge batch", serve(SEED, "--batch-size", str(2**63 - 1)), "at most 65536"),
    usage("a huge cache", serve(SEED, "--cache-tokens", str(2**63 - 1)), "at most 4294967296"),
    usage("a huge body", serve(SEED, "--max-body", str(2**62)), "at most 1073741824"),
    usage("a port that is no number", serve(SEED, "--port", "http"), "--port"),
    usage(
        "a host that is no address",
        serve(SEED, *TEXT, "--host", "no such host"),
        "expected an address such as 127.0.0.1",
    ),
    usage("a typing error", serve(SEED, "--prot", "80"), "did you mean --port?"),
    usage("no batch", serve(SEED, "--batch-size", "0"), "--batch-size"),
    usage("an empty key", serve(SEED, *TEXT, "--api-key-file", "key"), "has no key"),
    Case(
        "a key file that is not there",
        serve(SEED, *TEXT, "--api-key-file", "nothing"),
        1,
        stderr=["nothing: cannot open: No such file"],
    ),
    Case(
        "an address of another machine",
        serve(SEED, *TEXT, "--host", "192.0.2.1"),
        1,
        stderr=["192.0.2.1:8000: bind"],
    ),
    Case(
        "a dictionary of other symbols",  # one line, before any other
        serve(SEED, "--data", ".", *TEXT[2:], "--port", "0"),
        1,
        stderr=["dict.txt: a dictionary of ", "does not fit the model"],
        setup=write_short_dictionary,
    ),
    Case("a model that is not there", serve("nothing.pt"), 1, stderr=["nothing.pt"]),
]
next(case for case in CASES if case.name == "an empty key").setup = write_key(b" \n")
