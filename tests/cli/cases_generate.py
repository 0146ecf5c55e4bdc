"""btm generate."""
import json
import pathlib

from case import Case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
SEED = "{golden}/checkpoints/seed/checkpoint_last.pt"
ELM = "{golden}/checkpoints/elm_%s/checkpoint_last.pt"
FOUR = ":".join(ELM % name for name in ("fortunes", "jargon", "perl", "politics"))
TEXT = ["--data", "{golden}/data-bin", "--sentencepiece-model", "{golden}/corpus/spm.model"]
SHORT = [*TEXT, "--cpu", "--max-len-b", "12"]
HUGE = str(2**63 - 1)
ROWS = [
    row
    for row in map(json.loads, (GOLDEN / "generate/rows.jsonl").read_text().splitlines())
    if row["kind"] == "generate"
]


def generate(models, *args):
    return ["btm", "generate", models, *args]


def golden_case(row):
    """fairseq's hypotheses of a prompt, from the command line's flags alone."""
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in row["options"].items()]
    flags += ["--nbest", str(row["options"]["beam"]), "--format", "jsonl"]
    models = ":".join("{golden}/" + model for model in row["models"])

    def check(out):
        (found,) = map(json.loads, out.splitlines())
        assert found["prompt"] == row["prompt"]
        assert found["prompt_tokens"] == row["prompt_tokens"], found["prompt_tokens"]
        assert len(found["hypotheses"]) == len(row["hypotheses"])
        for ours, theirs in zip(found["hypotheses"], row["hypotheses"]):
            assert ours["tokens"] == theirs["tokens"], f"{ours['tokens']} {theirs['tokens']}"
            pairs = [*zip(ours["positional_scores"], theirs["positional_scores"])]
            pairs.append((ours["score"], theirs["score"]))
            assert max(abs(a - b) for a, b in pairs) < 2e-4
            assert "".join(ours["pieces"]) == ours["text"]
            assert ("posterior" in ours) == (len(row["models"]) > 1)

    return Case(
        f"golden {row['options']} {len(row['models'])} models",
        generate(models, row["prompt"], *TEXT, "--cpu", *flags),
        check_stdout=check,
    )


def lines(*texts):
    def write(folder):
        (folder / "prompts").write_bytes(b"".join(text + b"\n" for text in texts))

    return write


def one_bad_line(out):
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 4
    assert list(rows[1]) == ["text", "error"] and "UTF-8" in rows[1]["error"], rows[1]
    assert rows[0]["hypotheses"] and rows[2]["hypotheses"] and rows[3]["prompt_tokens"] == []


def document(out):
    rows = json.loads(out)["texts"]
    assert [row["prompt"] for row in rows] == ["One", "Two"]


def rows_of_table(out):
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0] == ["number", "hypothesis", "score", "tokens", "error", "text"]
    assert [row[:2] for row in rows[1:]] == [["1", "1"], ["1", "2"], ["2", "1"], ["2", "2"]]


def samples(out):
    """The first prompt comes again: the same texts, which differ among each other."""
    rows = [json.loads(line) for line in out.splitlines()]
    texts = [sorted(h["text"] for h in row["hypotheses"]) for row in rows]
    assert texts[0] == texts[2] and texts[0] != texts[1] and len(set(texts[0])) == 3, texts


def spoken(out):
    (row,) = map(json.loads, out.splitlines())
    text = row["hypotheses"][0]
    new = len(text["tokens"]) - len(row["prompt_tokens"])
    assert len(text["experts"]) == new and max(text["experts"]) < 4
    assert text["positional_scores"][0] is None
    assert text["posterior"][-1] == [0.25] * 4
    assert row["experts"] == ["elm_fortunes", "elm_jargon", "elm_perl", "elm_politics"]


def ends_before_the(out):
    (row,) = map(json.loads, out.splitlines())
    text = row["hypotheses"][0]
    assert text["text"].startswith("To be") and "the" not in text["text"], text["text"]
    assert text["tokens"][-1] != 2


def long_text(out):
    (row,) = map(json.loads, out.splitlines())
    assert len(row["hypotheses"][0]["tokens"]) == 151


def written(folder):
    assert len((folder / "out.jsonl").read_text().splitlines()) == 1


def usage(name, args, *phrases):
    return Case(name, args, 2, stderr=phrases)


CASES = [golden_case(row) for row in (ROWS[0], ROWS[7], ROWS[22], ROWS[33], ROWS[44], ROWS[4])]
CASES[-1].lines_on_stderr = 2  # --no-repeat-ngram-size, and the speed
CASES += [
    Case("help", generate("--help"), stdout=["--lenpen", "--one-expert-per-token", "last half"]),
    *(
        usage(
            f"generate {flag} of {value}", generate(SEED, "The", "--sampling", flag, value), words
        )
        for flag, value, words in (
            ("--num-samples", HUGE, "expected 1 to 65536"),
            ("--beam", HUGE, "expected 1 to 65536"),
            ("--batch-size", HUGE, "expected 1 to 65536"),
            ("--temperature", "1e-40", "from 0.000001 on"),
            ("--lenpen", "1e30", "from -20 to 20"),
        )
    ),
    Case(
        "as many tokens to draw from as one can write",
        generate(SEED, "The", *SHORT, "--sampling", "--sampling-topk", HUGE),
        stdout=["The"],
    ),
    Case(
        "a text as long as one can write",
        generate(SEED, "The", *SHORT, "--max-len-b", HUGE, "--stop", "e", "--format", "table"),
        stdout=["Th"],
    ),
    Case("a table", generate(SEED, "The full", *SHORT, "--format", "table"), stdout=["The full"]),
    Case(
        "rows",
        generate(SEED, "The", "A", *SHORT, "--beam", "2", "--nbest", "2"),
        check_stdout=rows_of_table,
    ),
    Case(
        "one document",
        generate(SEED, "One", "Two", *SHORT, "--format", "json"),
        check_stdout=document,
    ),
    Case(
        "a line that is not UTF-8, and an empty one",
        generate(SEED, "--file", "prompts", *SHORT, "--format", "jsonl", "--quiet"),
        1,
        setup=lines(b"One", b"T\xffwo", b"Three", b""),
        stderr=["prompts, line 2", "UTF-8"],
        prints_before_error=True,
        check_stdout=one_bad_line,
    ),
    Case(
        "a prompt that is too long",
        generate(SEED, "one two three four five six seven eight nine", *SHORT, "--quiet"),
        stderr=["prompt 1: has", "the first 12 are used"],
    ),
    Case(
        "the same samples in every place",
        generate(SEED, "--file", "prompts", *SHORT, "--format", "jsonl", "--sampling")
        + ["--num-samples", "3", "--sampling-topk", "50"],
        setup=lines(b"One day", b"Another", b"One day"),
        check_stdout=samples,
    ),
    Case(
        "one expert per token",
        generate(FOUR, "The", *SHORT, "--format", "jsonl", "--sampling", "--one-expert-per-token"),
        stderr=["1.00 experts' weights read per token, 4.00 with full mixing"],
        check_stdout=spoken,
    ),
    Case(
        "memory for one of four experts",
        generate(FOUR, "The subroutine returns a reference to the hash", *SHORT)
        + ["--memory", "1.5M", "--batch-size", "1", "--format", "table", "--quiet"],
        stderr=["memory for 1 of 4 experts", "elm_perl (0.9"],
        stdout=["The subroutine"],
    ),
    Case(
        "what computes, and the memory",
        generate(FOUR, "The", *SHORT, "--verbose", "--num-threads", "1", "--quiet"),
        stderr=[
            "btm generate: products: exact fp32; 1 thread",
            "kB of keys and values a token for each of 4 experts",
        ],
        lines_on_stderr=2,
    ),
    Case(
        "words that the dictionary lacks",
        generate(SEED, "the qqqq", "--bpe", "none", "--data", "{golden}/data-bin", "--quiet")
        + ["--max-len-b", "12"],
        stderr=["word of 1 text, which are read as <unk>: the first is prompt 1"],
    ),
    Case(
        "a text beyond the 128 positions",
        generate(ELM % "perl", "A file", *TEXT, "--cpu", "--max-len-b=150", "--min-len=150")
        + ["--format", "jsonl"],
        check_stdout=long_text,
    ),
    usage("memory for none", generate(FOUR, "A", *SHORT, "--memory", "4K"), "too small for one"),
    usage("no amount of memory", generate(FOUR, "A", *SHORT, "--memory", "4Q"), "such as 8G"),
    Case(
        "a stop string",
        generate(
            SEED, "To be", *TEXT, "--cpu", "--format", "jsonl", "--stop", "zzz", "--stop", "the"
        ),
        check_stdout=ends_before_the,
    ),
    Case(
        "results in a file",
        generate(SEED, "To", *SHORT, "--format", "jsonl", "--results-path", "out.jsonl"),
        check=written,
    ),
    Case(
        "a file that cannot be written",
        generate(SEED, "To", *SHORT, "--results-path", "none/out.jsonl"),
        1,
        stderr=["none/out.jsonl"],
    ),
    Case(
        "a file that is not there",
        generate(SEED, "--file", "nothing", *SHORT),
        1,
        stderr=["nothing: cannot open: No such file"],
    ),
    Case(
        "one expert per token of a product",
        generate(FOUR, "A", *SHORT, "--sampling", "--one-expert-per-token", "--combine", "product"),
        2,
        stderr=["--one-expert-per-token draws from the experts' mean", "--combine product"],
    ),
    Case(
        "a model that is not there", generate("nothing.pt", "A", *SHORT), 1, stderr=["nothing.pt"]
    ),
    usage("no model", ["btm", "generate"], "missing MODELS"),
    usage("a flag with a typing error", generate(SEED, "A", "--bean", "2"), "did you mean --beam?"),
    usage("no beam", generate(SEED, "A", "--beam", "0"), "--beam"),
    usage("more than the beam", generate(SEED, "A", "--nbest", "2"), "--nbest is above --beam"),
    usage("top-k of a search", generate(SEED, "A", "--sampling-topk", "5"), "need --sampling"),
    usage("no temperature", generate(SEED, "A", "--temperature", "0"), "--temperature"),
    usage("stop in a beam", generate(SEED, "A", "--beam", "2", "--stop", "x"), "--stop needs"),
    usage("an empty stop", generate(SEED, "A", "--stop", ""), "--stop"),
    usage("two inputs", generate(SEED, "A", "--file", "b"), "expected one of them"),
    usage(
        "a minimum above the maximum",
        generate(SEED, "A", *SHORT, "--min-len", "13"),
        "--min-len is above --max-len-b",
    ),
    usage(
        "one expert of one",
        generate(SEED, "A", *SHORT, "--sampling", "--one-expert-per-token"),
        "needs several models",
    ),
    usage(
        "one expert by the posterior",
        generate(FOUR, "A", *SHORT, "--sampling", "--one-expert-per-token")
        + ["--ensemble-type", "uniform_prior"],
        "the weights depend on what every expert says",
    ),
    usage(
        "one expert with a truncation",
        generate(FOUR, "A", *SHORT, "--sampling", "--one-expert-per-token", "--sampling-topp=0.9"),
        "--sampling-topp",
    ),
]
