"""btm eval-matrix."""
import json
import pathlib
import shutil

from case import Case

DATA = "{golden}/data-bin"
SEED = "seed={golden}/checkpoints/seed/checkpoint_last.pt"
PERL = "perl={golden}/checkpoints/elm_perl/checkpoint_last.pt"
SHORT = [
    "btm",
    "eval-matrix",
    DATA,
    SEED,
    PERL,
    "--domains",
    "perl",
    "--tokens-per-sample",
    "128",
    "--max-samples",
    "1",
    "--resamples",
    "50",
    "--prior-batches",
    "1",
]


def results(folder):
    out = folder / "eval-matrix"
    matrix = json.loads((out / "matrix.json").read_text())
    assert [row["name"] for row in matrix["rows"]] == [
        "seed",
        "perl",
        "average",
        "ensemble cached_prior",
    ], matrix["rows"]
    assert matrix["rows"][0]["cells"]["perl"]["ratio"] == 1
    assert len((out / "matrix.csv").read_text().splitlines()) == 1 + 4 * 2
    assert "<svg" in (out / "report.html").read_text()
    assert sorted(path.name for path in out.iterdir()) == [
        "matrix.csv",
        "matrix.json",
        "report.html",
        "scores",
    ], list(out.iterdir())


def a_file(folder):
    (folder / "file").write_text("")


def read_only(folder):
    (folder / "read-only").mkdir(mode=0o555)


def no_place_for_results(folder):
    (folder / "eval-matrix" / "matrix.json").mkdir(parents=True)


def no_place_for_scores(folder):
    (folder / "eval-matrix").mkdir()
    (folder / "eval-matrix" / "scores").write_text("")


def domain_of_gpt2(folder):
    """Makes a domain of data for the GPT-2 models of golden/hf_import."""
    data = pathlib.Path(__file__).parent.parent / "golden" / "hf_import" / "data"
    (folder / "data" / "x").mkdir(parents=True)
    for path in (folder / "data", folder / "data" / "x"):
        shutil.copy(data / "dict.txt", path)
    for ending in ("bin", "idx"):
        shutil.copy(data / f"test.{ending}", folder / "data" / "x" / f"test_x.{ending}")


CASES = [
    Case(
        "the average of models whose settings differ",
        [
            "btm",
            "eval-matrix",
            "data",
            "a={golden}/hf_import/gpt2_eps_1e-05",
            "b={golden}/hf_import/gpt2_eps_0.001",
            "--experts",
            "a,b",
            "--ensembles",
            "",
            "--average",
            "--domains",
            "x",
            "--cpu",
        ],
        2,
        setup=domain_of_gpt2,
        stderr=[
            "the average needs experts of one network, 'b' is not as 'a': layer_norm_epsilon is "
            "0.001, expected 1e-05"
        ],
    ),
    Case(
        "results that cannot be written",
        SHORT,
        1,
        setup=no_place_for_results,
        stdout=["2 evaluations computed"],
        prints_before_error=True,
        stderr=["eval-matrix/matrix.json: is a directory"],
    ),
    Case(
        "scores that cannot be written",
        SHORT,
        setup=no_place_for_scores,
        stdout=["2 evaluations computed", "matrix.csv"],
        stderr=["warning: scores are not kept: eval-matrix/scores"],
    ),
    Case(
        "table and files",
        SHORT + ["--experts", "seed,perl", "--average", "--ensembles", "cached_prior"],
        stdout=["to seed", "average", "ensemble cached_prior", "5 evaluations computed, 0 reused"],
        check=results,
    ),
    Case(
        "what computes",
        SHORT + ["--verbose", "--quiet", "--cpu"],
        stdout=["2 evaluations computed"],
        stderr=["btm eval-matrix: products: exact fp32; "],
    ),
    Case("models alone", SHORT, stdout=["2 evaluations computed"]),
    Case(
        "help",
        ["btm", "eval-matrix", "--help"],
        stdout=["usage: btm eval-matrix DATA [NAME=]MODEL... [flags]", "--block-tokens"],
    ),
    Case("no model", ["btm", "eval-matrix", DATA], 2, stderr=["missing [NAME=]MODEL"]),
    Case(
        "an ensemble of a type that is none",
        SHORT + ["--experts", "seed,perl", "--ensembles", "uniform_prior,mean"],
        2,
        stderr=[
            "--ensembles names 'mean', expected cached_prior, updating_prior, uniform_prior, "
            "simple_average, cluster_prior, clustering, "
            "product_of_experts or bayes"
        ],
    ),
    Case(
        "a model without a name before =",
        ["btm", "eval-matrix", DATA, "=x.pt"],
        2,
        stderr=["'=x.pt', expected MODEL or NAME=MODEL"],
    ),
    Case(
        "mistyped flag",
        SHORT + ["--expert", "seed"],
        2,
        stderr=["unknown flag '--expert', did you mean --experts?"],
    ),
    Case(
        "unknown expert",
        SHORT + ["--experts", "jargon"],
        2,
        stderr=["--experts names 'jargon', expected some of the models: seed, perl"],
    ),
    Case(
        "unknown baseline",
        SHORT + ["--baseline", "dense"],
        2,
        stderr=["--baseline 'dense' is not a row of the matrix"],
    ),
    Case(
        "bytes that are none",
        SHORT + ["--bytes", "perl=many"],
        2,
        stderr=["flag --bytes: 'perl=many', expected DOMAIN=N"],
    ),
    Case(
        "missing checkpoint", ["btm", "eval-matrix", DATA, "a={tmp}/none.pt"], 1, stderr=["none.pt"]
    ),
    # The output is checked before anything is computed.
    Case(
        "a file for the output folder",
        ["btm", "eval-matrix", DATA, SEED, "--out", "file"],
        1,
        setup=a_file,
        stderr=["file: is not a folder"],
    ),
    Case(
        "an output folder that cannot be made",
        ["btm", "eval-matrix", DATA, SEED, "--out", "read-only/out"],
        1,
        setup=read_only,
        unprivileged=True,
        stderr=["read-only/out: cannot create: Permission denied"],
    ),
    Case("missing data", ["btm", "eval-matrix", "{tmp}/none", SEED], 1, stderr=["none/dict.txt"]),
    Case(
        "unknown domain",
        ["btm", "eval-matrix", DATA, SEED, "--domains", "pearl"],
        2,
        stderr=["pearl"],
    ),
]
