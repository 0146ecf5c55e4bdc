"""btm score and btm weigh."""
import json
import math
import pathlib

from case import Case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
DOMAINS = ("fortunes", "jargon", "perl", "politics")
EXPERTS = ":".join("{golden}/checkpoints/elm_" + d + "/checkpoint_last.pt" for d in DOMAINS)
TOKENIZER = ["--sentencepiece-model", "{golden}/corpus/spm.model"]
DATA = ["--data", "{golden}/data-bin", *TOKENIZER]
SEED = ["btm", "score", "{golden}/checkpoints/seed/checkpoint_last.pt"]
ONE = [*SEED, "{tmp}/in.txt", *DATA, "--quiet"]
ALL = ["btm", "score", EXPERTS, "{tmp}/in.txt", *DATA, "--quiet"]
WEIGH = ["btm", "weigh", EXPERTS, "{tmp}/in.txt", *DATA]
GOOD = "The good die young -- because they see it's no use living.\n"
PERL = "The sort function takes a reference to a subroutine and a list of scalars.\n"


def holds(text):
    """The input, as text or bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    return lambda folder: (folder / "in.txt").write_bytes(data)


def rows(out):
    return [json.loads(line) for line in out.splitlines()]


def close(left, right):
    assert math.isclose(left, right, abs_tol=2e-6), (left, right)


def check_object(out):
    (row,) = rows(out)
    assert row["text"] == GOOD.strip(), row
    assert row["tokens"][-1] == 2 and len(row["tokens"]) == len(row["positional_scores"]) + 1, row
    mean = sum(row["positional_scores"]) / len(row["positional_scores"])
    close(row["score"], mean)
    assert math.isclose(row["perplexity"], math.exp(-mean), rel_tol=1e-5)
    bits = -sum(row["positional_scores"]) / math.log(2) / len(row["text"])
    assert math.isclose(row["bits_per_byte"], bits, rel_tol=1e-5)
    assert "posterior" not in row and "error" not in row, row


def check_tokens(out):
    (row,) = rows(out)
    assert "".join(row["pieces"]) == row["text"], row
    assert len(row["posterior"]) == len(row["best_experts"]) == len(row["tokens"]) - 1
    for weights in row["posterior"]:
        assert len(weights) == 4 and abs(sum(weights) - 1) < 1e-4, weights
    assert row["best_expert"] == "elm_perl", row


PRODUCT = json.loads((GOLDEN / "generate" / "product.json").read_text())


PRODUCT_TEXT = (
    "There are no data that cannot be plotted on a straight line if the axis are chosen correctly."
)


def check_product(out):
    """The scores of scripts/make_product_golden.py, without those of </s>."""
    (row,) = rows(out)
    expected = PRODUCT["rows"][1]
    assert row["tokens"][:-1] == expected["tokens"], row
    for found, score in zip(row["positional_scores"], expected["scores"]):
        assert abs(found - score) < 2e-4, (found, score)


def check_full(out):
    """With a uniform prior and the posterior of all tokens, the weights are the evidence."""
    for row in rows(out):
        assert all(abs(a - b) < 1e-4 for a, b in zip(row["posterior"], row["evidence"])), row


def check_bad_lines(out):
    found = rows(out)
    assert [("error" in row, "score" in row) for row in found] == [
        (False, True),
        (True, False),
        (True, False),
        (True, False),
        (False, True),
    ], found
    assert found[1] == {"text": "", "error": "{0} line 2: is empty".format(IN)}, found
    assert found[2]["error"].endswith("line 3: is not UTF-8 (byte 5)"), found
    assert "line 4: has 2,000 tokens, and the model 128 positions" in found[3]["error"], found
    assert found[0]["score"] == found[4]["score"], "a bad line changes its neighbours"


IN = None


def bad_lines(folder):
    global IN
    IN = folder / "in.txt"
    long = "the " * 2000
    IN.write_bytes(GOOD.encode() + b"\nabcd\xff\n" + long.encode() + b"\n" + GOOD.encode())


def check_context(out):
    alone, after, spaced = rows(out)
    assert alone["tokens"] == after["tokens"] == spaced["tokens"], (alone, after)
    assert after["positional_scores"] == spaced["positional_scores"]
    assert alone["positional_scores"] != after["positional_scores"]
    assert after["context"] == "Perl has", after


def check_nbest(out):
    found = rows(out)
    assert [row["id"] for row in found] == ["7", "7", "8"], found
    assert [row["rank"] for row in found] == [2, 1, 1], found
    assert found[1]["log_prob"] > found[0]["log_prob"], found


def check_document(out):
    document = json.loads(out)
    assert len(document["texts"]) == document["total"]["texts"] == 2, document
    assert document["texts"][0]["text"] == "one\ntwo" and document["total"]["failed"] == 0, document
    assert document["experts"] == ["seed"], document


def check_end(out):
    (row,) = rows(out)
    assert row["tokens"][-1] == 2 and len(row["tokens"]) == len(row["positional_scores"]), row


def check_rows(out):
    header, *lines = [line.split("\t") for line in out.splitlines()]
    assert header[:5] == ["number", "log_prob", "tokens", "perplexity", "bits_per_byte"], header
    assert len(lines) == 1 and len(lines[0]) == len(header), lines


def check_columns(out):
    """A column for each expert, with its name; the weights sum to 1, and errors have as many."""
    header, *lines = [line.split("\t") for line in out.splitlines()]
    names = ["posterior_elm_" + d for d in DOMAINS]
    first = header.index(names[0])
    assert header[first : first + 4] == names, header
    assert all(len(line) == len(header) for line in lines), lines
    scored = [line for line in lines if line[first]]
    assert scored and all(
        abs(sum(map(float, line[first : first + 4])) - 1) < 1e-3 for line in scored
    ), lines


def check_named_rows(out):
    (row,) = rows(out)
    assert row["experts"] == ["elm_" + d for d in DOMAINS] and len(row["posterior"]) == 4, row


def check_two_texts(out):
    assert [row["text"] for row in rows(out)] == ["One.", "Two words."], out


def check_long(out):
    (row,) = rows(out)
    assert len(row["tokens"]) == 401 and len(row["positional_scores"]) == 400


def check_weigh(folder):
    found = json.loads((folder / "out/weigh.json").read_text())
    assert found["experts"] == ["elm_" + d for d in DOMAINS], found
    assert abs(sum(found["posterior"]) - 1) < 1e-6, found
    assert found["posterior"][2] == max(found["posterior"]) and found["keep"] == ["elm_perl"], found
    assert [row["k"] for row in found["mixtures"]] == [1, 2, 3, 4], found
    assert found["mixtures"][3]["lost"] == 0, found
    page = (folder / "out/weigh.html").read_text()
    assert page.count("<svg") >= 3 and "elm_perl" in page


def weighed(folder):
    """What btm weigh writes, with the experts in another order."""
    holds(GOOD)(folder)
    prior = {"experts": ["elm_" + d for d in reversed(DOMAINS)], "posterior": [0.5, 0.5, 0, 0]}
    (folder / "weigh.json").write_text(json.dumps(prior))


def other_experts(folder):
    holds(GOOD)(folder)
    prior = {"experts": ["a", "b", "c", "d"], "posterior": [0.5, 0.5, 0, 0]}
    (folder / "weigh.json").write_text(json.dumps(prior))


def check_updating(out):
    first, second = rows(out)
    assert first["evidence"] == second["evidence"], "the experts score a text as they did before"
    assert second["log_prob"] > first["log_prob"] + 0.1, (first, second)


def check_prior(out):
    (row,) = rows(out)
    assert row["posterior"] == [0, 0, 0.5, 0.5], row


def two_dictionaries(folder):
    holds(GOOD)(folder)
    for name, words in (("a", "one 2\ntwo 1\n"), ("b", "one 2\nthree 1\n")):
        (folder / name).mkdir()
        (folder / name / "dict.txt").write_text(words)
        (folder / name / "checkpoint_last.pt").write_bytes(b"")


def tokenizer_of_words(folder):
    holds(GOOD)(folder)
    (folder / "dict.txt").write_text("einer 2\nzwei 1\n")


EQUAL = "all 4 models count the same (simple_average); --ensemble-type uniform_prior"

CASES = [
    Case(
        "the product of experts",
        [*ALL, "--format", "jsonl", "--combine", "product", "--posterior", "full"]
        + ["--ensemble-type", "cached_prior", "--precomputed-prior", "0.4,0.3,0.2,0.1"],
        setup=holds(PRODUCT_TEXT),
        check_stdout=check_product,
    ),
    Case(
        "columns with the experts' names",
        [*ALL, "--format", "tsv"],
        1,
        stderr=["line 2: is empty"],
        prints_before_error=True,
        setup=holds(GOOD + "\n"),
        check_stdout=check_columns,
    ),
    Case(
        "columns of tokens with the experts' names",
        [*ALL, "--format", "tsv", "--tokens"],
        setup=holds(GOOD),
        check_stdout=check_columns,
    ),
    Case(
        "rows of JSON with the experts' names",
        [*ALL, "--format", "jsonl"],
        setup=holds(GOOD),
        check_stdout=check_named_rows,
    ),
    Case(
        "tokens in a table with the experts' names",
        [*ALL, "--format", "table", "--tokens"],
        stdout=["log-prob  best expert     largest posteriors", "elm_perl"],
        setup=holds(PERL),
    ),
    Case("models that count the same", ALL[:-1], stderr=[EQUAL], setup=holds(GOOD)),
    Case(
        "models that do not",
        [*ALL[:-1], "--ensemble-type", "uniform_prior"],
        stderr=["1 text, "],
        setup=holds(GOOD),
    ),
    Case(
        "a text on the command line",
        [*SEED, *DATA, "--text", "One.", "--text", "Two words.", "--quiet", "--format", "jsonl"],
        check_stdout=check_two_texts,
    ),
    Case(
        "a text and a file",
        [*ONE, "--text", "One."],
        2,
        stderr=["--text excludes FILE, --documents, --nbest and --field"],
        setup=holds(GOOD),
    ),
    Case(
        "a text in the place of a file",
        [*SEED, "One of them.", *DATA],
        2,
        stderr=["no file 'One of them.'; a text itself comes after --text, or from standard input"],
    ),
    Case(
        "weigh by a text in the place of a file",
        ["btm", "weigh", EXPERTS, "One of them.", *DATA],
        2,
        stderr=["no file 'One of them.'; a text itself comes after --text"],
    ),
    Case(
        "weigh by texts on the command line",
        ["btm", "weigh", EXPERTS, "--text", GOOD, "--text", PERL, *DATA],
        stdout=["2 documents"],
    ),
    Case("help", ["btm", "score", "--help"], stdout=["--context-window", "MODELS"]),
    Case(
        "what computes",
        [*ONE, "--verbose", "--num-threads", "2", "--quiet"],
        setup=holds(GOOD),
        stderr=["btm score: products: exact fp32; 2 threads"],
        lines_on_stderr=1,
    ),
    Case("one", [*ONE, "--format", "jsonl"], setup=holds(GOOD), check_stdout=check_object),
    Case("rows elsewhere than on a terminal", ONE, setup=holds(GOOD), check_stdout=check_rows),
    Case(
        "a table",
        [*ONE, "--format", "table"],
        setup=holds(GOOD),
        stdout=["log-prob", "The good die young"],
    ),
    Case(
        "tokens of an ensemble",
        [*ALL, "--format", "jsonl", "--tokens", "--ensemble-type", "uniform_prior"],
        setup=holds(PERL),
        check_stdout=check_tokens,
    ),
    Case(
        "tokens as a table",
        [*ALL, "--format", "table", "--tokens"],
        setup=holds(PERL),
        stdout=[" tokens, perplexity ", "elm_perl"],
        never=["</s>"],
    ),
    Case(
        "the posterior of all tokens",
        [*ALL, "--format", "jsonl", "--ensemble-type", "uniform_prior", "--posterior", "full"],
        setup=holds(PERL + GOOD),
        check_stdout=check_full,
    ),
    Case(
        "bad lines",
        [*ONE, "--format", "jsonl"],
        1,
        stderr=["line 2: is empty (3 of 5 texts could not be scored)"],
        setup=bad_lines,
        check_stdout=check_bad_lines,
        prints_before_error=True,
    ),
    Case(
        "a long text in windows",
        [*ONE, "--format", "jsonl", "--context-window", "32"],
        setup=holds("the " * 400),
        check_stdout=check_long,
    ),
    Case(
        "a window that is too large",
        [*ONE, "--context-window", "128"],
        2,
        stderr=["--context-window is 128, expected less than the 128 positions"],
        setup=holds(GOOD),
    ),
    Case(
        "a text after its context",
        [*ONE, "--format", "jsonl", "--context-field", "before"],
        setup=holds(
            '{"text": "many functions", "before": ""}\n\n'
            '{"text": "many functions", "before": "Perl has"}\n'
            '{"text": " many functions", "before": "Perl has"}\n'
        ),
        check_stdout=check_context,
    ),
    Case(
        "JSONL that is none",
        [*ONE, "--field", "text"],
        1,
        stderr=["line 1: is no JSON object (2 of 2 texts"],
        setup=holds('{"text": \n{"test": "a"}\n'),
        prints_before_error=True,
        stdout=["has no string 'text'"],
    ),
    Case(
        "n-best lists",
        [*ONE, "--format", "jsonl", "--nbest"],
        setup=holds("7 ||| young die good the ||| 0.1\n7 ||| the good die\n8 ||| a\n"),
        check_stdout=check_nbest,
    ),
    Case(
        "documents as one JSON document",
        [*ONE, "--format", "json", "--documents"],
        setup=holds("\none\ntwo\n\n \nthree\n"),
        check_stdout=check_document,
    ),
    Case(
        "the end of a text",
        [*ONE, "--format", "jsonl", "--score-eos"],
        setup=holds(GOOD),
        check_stdout=check_end,
    ),
    Case(
        "words that the dictionary lacks",
        [*SEED, "{tmp}/in.txt", *DATA],
        setup=holds("the \u6771\n"),
        stderr=["the dictionary lacks 1 word of 1 text, which are read as <unk>"],
    ),
    Case(
        "a prior that follows the texts",
        [*ALL, "--format", "jsonl", "--ensemble-type", "updating_prior"],
        setup=holds(PERL * 2),
        check_stdout=check_updating,
    ),
    Case(
        "the prior of btm weigh",
        [
            *ALL,
            *("--format", "jsonl", "--ensemble-type", "cached_prior"),
            *("--precomputed-prior", "{tmp}/weigh.json", "--posterior", "none"),
        ],
        setup=weighed,
        check_stdout=check_prior,
    ),
    Case(
        "the prior of other experts",
        [*ALL, "--ensemble-type", "cached_prior", "--precomputed-prior", "{tmp}/weigh.json"],
        2,
        stderr=["has no expert 'elm_fortunes', but 'a'"],
        setup=other_experts,
    ),
    Case(
        "no dictionary",
        ["btm", "score", "{golden}/checkpoints/demix_fork/dense", "{tmp}/in.txt"],
        2,
        stderr=["no dict.txt lies beside it, expected --data FOLDER"],
        setup=holds(GOOD),
    ),
    Case(
        "no tokenizer",
        [*SEED, "{tmp}/in.txt", "--data", "{golden}/data-bin"],
        2,
        stderr=["holds pieces of a sentencepiece model, and there is none beside it"],
        setup=holds(GOOD),
    ),
    Case(
        "a tokenizer of another dictionary",
        [*SEED, "{tmp}/in.txt", "--data", "{tmp}", *TOKENIZER],
        1,
        stderr=["does not fit {tmp}/dict.txt: 2 of its 2 symbols (100.0% of its tokens)"],
        setup=tokenizer_of_words,
    ),
    Case(
        "experts with different dictionaries",
        ["btm", "score", "{tmp}/a/checkpoint_last.pt:{tmp}/b/checkpoint_last.pt", "{tmp}/in.txt"],
        1,
        stderr=["b/dict.txt", "three"],
        setup=two_dictionaries,
    ),
    Case(
        "no such file",
        [*SEED, "{tmp}/none.txt", *DATA],
        1,
        stderr=["none.txt: cannot open: No such file or directory"],
    ),
    Case("no such model", ["btm", "score", "{tmp}/none.pt"], 1, stderr=["none.pt"]),
    Case(
        "two forms of input",
        [*ONE, "--nbest", "--documents"],
        2,
        stderr=["exclude each other"],
        setup=holds(GOOD),
    ),
    Case("a mistyped flag", [*ONE, "--token"], 2, stderr=["--tokens"]),
    Case("nothing", [*SEED, *DATA, "--quiet"], stdout=["number\tlog_prob"]),
    Case("a full disk", [*ONE, "--format", "jsonl"], 1, stdout_to="/dev/full", setup=holds(GOOD)),
    Case(
        "weigh: documents of one domain",
        [*WEIGH, "--out", "{tmp}/out"],
        setup=holds(PERL * 2),
        stdout=["elm_perl", "yes", "2 documents"],
        stderr=["an interval from fewer than 10 documents says little"],
        check=check_weigh,
    ),
    Case(
        "weigh: one model",
        ["btm", "weigh", "{golden}/checkpoints/seed/checkpoint_last.pt", "{tmp}/in.txt", *DATA],
        2,
        stderr=["expected several to weigh"],
        setup=holds(GOOD),
    ),
    Case(
        "weigh: an empty document",
        WEIGH,
        1,
        stderr=["line 2: is empty (1 document is left out)"],
        setup=holds(PERL + "\n" + PERL),
        prints_before_error=True,
    ),
    Case("weigh: no document", WEIGH, 1, stderr=["in.txt: is empty"], setup=holds("")),
]
