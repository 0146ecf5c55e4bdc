"""btm ensemble-eval."""
import json
import signal

from case import Case

EXPERTS = ":".join(
    "{golden}/checkpoints/elm_" + domain + "/checkpoint_last.pt" for domain in ("fortunes", "perl")
)
EVAL = [
    "btm",
    "ensemble-eval",
    "{golden}/data-bin/fortunes",
    "--path",
    EXPERTS,
    "--target-eval",
    "valid_fortunes",
    "--tokens-per-sample",
    "128",
    "--batch-size",
    "2",
    "--ensemble-type",
    "cached_prior",
    "--precomputed-prior",
    "0.75,0.25",
]
SHORT = EVAL + ["--max-samples", "1", "--no-score-cache"]  # two batches
KEPT = EVAL + ["--max-samples", "1", "--score-cache", "cache"]

TUNE = EVAL[: EVAL.index("--ensemble-type")] + ["--max-samples", "2", "--no-score-cache"]


def tuned(folder):
    found = json.loads((folder / "tuned" / "tune.json").read_text())
    assert found["converged"] and len(found["experts"]) == 2, found
    assert abs(sum(found["posterior"]) - 1) < 1e-9, found["posterior"]
    assert found["tuning"]["tuned"] <= found["tuning"]["uniform"], found
    assert "The weights, step by step." in (folder / "tuned" / "tune.html").read_text()


def results(folder):
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [line["exp_avg_posterior"] for line in lines] == [[0.75, 0.25]] * 2, lines
    assert [path.name for path in folder.iterdir()] == [
        "results.jsonl"
    ], "something else was left behind"


def two_scores(folder):
    assert len(list(folder.glob("cache/*/*.scores"))) == 2, list(folder.rglob("*"))


def no_results(folder):
    assert not [
        path for path in folder.rglob("*") if path.is_file() and path.suffix != ".digest"
    ], f"left behind: {list(folder.rglob('*'))}"


def cache_is_a_file(folder):
    (folder / "cache").write_text("")


def after_loading(name, args, *phrases, status=1, **more):
    """An error that may follow the output 'loading model(s) from'."""
    return Case(name, args, status, stderr=phrases, prints_before_error=True, **more)


CASES = [
    Case(
        "help",
        ["btm", "ensemble-eval", "--help"],
        stdout=["usage: btm ensemble-eval DATA", "--precomputed-prior", "--score-cache-mib"],
    ),
    Case(
        "two batches",
        SHORT + ["--results-path", "results.jsonl"],
        stdout=["Evaluated 445 tokens", "final ppl: "],
        check=results,
    ),
    Case(
        "what computes",
        SHORT + ["--verbose", "--quiet", "--cpu", "--num-threads", "2"],
        stderr=["btm ensemble-eval: products: exact fp32; 2 threads"],
    ),
    Case("scores are kept", KEPT, stdout=["final ppl: "], check=two_scores),
    Case(
        "scores that cannot be kept",
        KEPT,
        stdout=["final ppl: "],
        stderr=["warning: scores are not kept: cache/"],
        setup=cache_is_a_file,
    ),
    Case("no data", ["btm", "ensemble-eval"], 2, stderr=["missing DATA"]),
    Case(
        "no experts",
        ["btm", "ensemble-eval", "{golden}/data-bin/fortunes", "--ensemble-type", "uniform_prior"],
        2,
        stderr=["--path is missing"],
    ),
    Case(
        "a mistyped flag",
        EVAL + ["--precomputed-priors", "1,0"],
        2,
        stderr=["unknown flag '--precomputed-priors', did you mean --precomputed-prior?"],
    ),
    Case(
        "a rule without an effect",
        EVAL[:-3] + ["simple_average", "--posterior", "full"],
        2,
        stderr=["--posterior full has no effect with --ensemble-type simple_average"],
    ),
    Case(
        "no type",
        EVAL[:-4],
        2,
        stderr=[
            "--ensemble-type is missing, expected cached_prior, updating_prior, uniform_prior, "
            "simple_average, cluster_prior, clustering, "
            "product_of_experts or bayes"
        ],
    ),
    Case(
        "a rule that is none",
        EVAL + ["--posterior", "all"],
        2,
        stderr=["flag --posterior: 'all', expected one of last, full, none"],
    ),
    Case(
        "a type that is none",
        EVAL + ["--ensemble-type", "prior"],
        2,
        stderr=["flag --ensemble-type: 'prior', expected one of "],
    ),
    Case(
        "a product of experts",
        EVAL + ["--combine", "product"],
        2,
        stderr=["--combine product needs the whole distribution of every expert", "use btm score"],
    ),
    Case(
        "a prior of another count",
        EVAL + ["--precomputed-prior", "1"],
        2,
        stderr=["--precomputed-prior '1': 1 probabilities for 2 experts"],
    ),
    Case(
        "a prior that is no number",
        EVAL + ["--precomputed-prior", "0.5,half"],
        2,
        stderr=["'half', expected a probability"],
    ),
    Case(
        "a negative prior",
        EVAL + ["--precomputed-prior", "1.5,-0.5"],
        2,
        stderr=["'-0.5', expected a probability"],
    ),
    Case(
        "a prior of another sum",
        EVAL + ["--precomputed-prior", "0.5,0.1"],
        2,
        stderr=["the sum is 0.6, expected 1"],
    ),
    Case(
        "cluster_prior without clusters",
        EVAL + ["--ensemble-type", "cluster_prior"],
        2,
        stderr=["cluster_prior needs --cluster-model"],
    ),
    Case(
        "c-BTM's type without a cluster model",
        EVAL + ["--ensemble-type", "clustering"],
        2,
        stderr=["--ensemble-type clustering needs --cluster-model"],
    ),
    Case(
        "a rule that c-BTM's type does not have",
        EVAL + ["--ensemble-type", "bayes", "--posterior", "full"],
        2,
        stderr=["--posterior full does not go with --ensemble-type bayes, expected last"],
    ),
    Case(
        "c-BTM's bayes with the best expert of each token",
        EVAL + ["--ensemble-type", "bayes", "--eval-topk", "1", "--no-score-cache"],
        stdout=["Loss (base 2)"],
    ),
    after_loading(
        "a cluster model that is not there",
        EVAL + ["--ensemble-type", "cluster_prior", "--cluster-model", "none.model"],
        "none.model: cannot open: No such file or directory",
    ),
    after_loading(
        "an expert that is not there",
        EVAL + ["--path", EXPERTS + ":none.pt", "--precomputed-prior", "0.5,0.25,0.25"],
        "none.pt: cannot open: No such file or directory",
    ),
    after_loading(
        "a split that is not there", EVAL + ["--target-eval", "valid"], "no split 'valid'"
    ),
    Case(
        "results into a folder that is not there",
        SHORT + ["--results-path", "no/results.jsonl"],
        1,
        stderr=["no/results.jsonl: cannot create"],
    ),
    Case(
        "standard output on a full disk",
        SHORT,
        1,
        stdout_to="/dev/full",
        stderr=["btm ensemble-eval: error: standard output: cannot write"],
    ),
    Case(
        "Ctrl-C",
        EVAL
        + [
            "--context-window",
            "120",
            "--batch-size",
            "1",
            "--log-format",
            "simple",
            "--log-interval",
            "1",
            "--score-cache",
            "cache",
            "--results-path",
            "results.jsonl",
        ],
        -signal.SIGINT,
        interrupt_at="ensemble-eval: 1 / ",
        check=no_results,
    ),
    Case(
        "ensemble-eval tunes on another split",
        TUNE + ["--tune", "test_fortunes", "--out", "tuned"],
        stdout=["Tuned on test_fortunes (", "held out: valid_fortunes (", "final ppl: "],
        check=tuned,
    ),
    Case(
        "ensemble-eval tunes on half",
        TUNE + ["--tune", "half"],
        stdout=["held out: the 2nd, 4th, ... batch of valid_fortunes ("],
    ),
    Case(
        "ensemble-eval tunes on what it measures",
        TUNE + ["--tune", "valid_fortunes"],
        2,
        stderr=["whose result would not be held out: expected another split, or half"],
    ),
    Case(
        "ensemble-eval tunes with a prior",
        EVAL + ["--tune", "half"],
        2,
        stderr=["--tune finds fixed weights: it goes with --ensemble-type simple_average alone"],
    ),
    Case(
        "ensemble-eval tunes one batch",
        TUNE[: TUNE.index("--batch-size")]
        + ["--batch-size", "1000", "--max-tokens", "1000000", "--no-score-cache", "--tune", "half"],
        2,
        stderr=["the data are one batch, which has no halves"],
    ),
    Case(
        "ensemble-eval writes what it has not", SHORT + ["--out", "x"], 2, stderr=["needs --tune"]
    ),
]
