"""btm eval-lm."""
import json
import math
import os
import pathlib
import signal

from case import Case

DATA = "{golden}/data-bin/fortunes"
MODEL = "{golden}/checkpoints/seed/checkpoint_last.pt"
EVAL = [
    "btm",
    "eval-lm",
    DATA,
    "--path",
    MODEL,
    "--gen-subset",
    "valid_fortunes",
    "--tokens-per-sample",
    "128",
    "--batch-size",
    "2",
]
SHORT = EVAL + ["--max-samples", "1"]  # two batches
LOSS = "Loss (base 2): 9.5117"


def results(folder):
    row = json.loads((folder / "results.json").read_text())
    assert row["evaluated_tokens"] == 445, f"evaluated_tokens is {row['evaluated_tokens']}"
    assert [path.name for path in folder.iterdir()] == [
        "results.json"
    ], "something else was left behind"


def nothing_left(folder):
    assert not list(folder.iterdir()), f"left behind: {[path.name for path in folder.iterdir()]}"


def fifo(folder):
    os.mkfifo(folder / "pipe")


def unreadable(folder):
    (folder / "secret.pt").write_bytes(b"PK\x03\x04")
    (folder / "secret.pt").chmod(0)


def read_only(folder):
    (folder / "read-only").mkdir(mode=0o555)


GOLDEN = pathlib.Path(__file__).parent.parent / "golden"

DOMAIN_TOKEN = [
    "btm",
    "eval-lm",
    "{golden}/data-bin",
    "--path",
    "{golden}/domain_token/checkpoint_last.pt",
    "--task",
    "multidomain_language_modeling",
    "--gen-subset",
    "test_perl",
    "--eval-domains",
    "perl",
    "--tokens-per-sample",
    "64",
    "--batch-size",
    "2",
    "--add-domain-token",
]


def domain_token_cases():
    """The losses of the DeMIX fork's own eval_lm.py (scripts/make-demix-golden)."""
    for row in json.loads((GOLDEN / "domain_token/eval.json").read_text()):
        domain, forced = row["domain"], row["forced"]
        args = DOMAIN_TOKEN + ["--eval-domains", domain, "--gen-subset", f"test_{domain}"]
        args += ["--resample-eval", "--partial-load", "--original-domains", "fortunes,jargon,perl"]
        args += ["--force-domain-token", forced] if forced else []
        name = f"domain tokens of {domain}" + (f", forced to {forced}" if forced else "")
        yield Case(
            name, args, stdout=[f"Loss (base 2): {row['loss']:.4f}"], stderr=["--partial-load"]
        )


def error_after_loading(name, args, *phrases, **more):
    """An error that follows the output 'loading model(s) from'."""
    return Case(name, args, 1, stderr=phrases, prints_before_error=True, **more)


HF_IMPORT = GOLDEN / "hf_import"


def hugging_face_cases():
    """Folders that transformers wrote, with its loss. null when its output layer is random."""
    for name, loss in json.loads((HF_IMPORT / "expected.json").read_text()).items():
        args = [
            "btm",
            "eval-lm",
            "{golden}/hf_import/data",
            "--path",
            "{golden}/hf_import/" + name,
            "--gen-subset",
            "test",
            "--results-path",
            "x.json",
        ]
        refusal = {
            "xglm_pad_5": "not supported: pad_token_id 5",
            "gpt2_base_untied": "has no output layer",
        }.get(name)
        if refusal:
            yield error_after_loading("Hugging Face's " + name, args, "config.json: ", refusal)
            continue

        def check(folder, name=name, loss=loss):
            found = json.loads((folder / "x.json").read_text())["loss_base2"]
            assert math.isclose(
                found, loss, abs_tol=2e-4
            ), f"{name}: {found}, transformers has {loss}"

        yield Case("Hugging Face's " + name, args, check=check)
    yield Case(
        "Hugging Face's pytorch_model.bin.index.json",
        [
            "btm",
            "eval-lm",
            "{golden}/hf_import/data32",
            "--path",
            "{golden}/hf_import/opt_bin_index",
            "--gen-subset",
            "test",
        ],
        stdout=["Loss (base 2): 8.6751"],
    )


def metaseq_cases():
    """OPT in metaseq's layouts, with transformers' loss of the same weights."""
    losses = json.loads((GOLDEN / "metaseq" / "expected.json").read_text())
    for name in ("fused", "consolidated", "projected", "parts", "flat", "flat_parts"):

        def check(folder, name=name):
            found = json.loads((folder / "x.json").read_text())["loss_base2"]
            loss = losses.get(name, losses["fused"])
            assert math.isclose(
                found, loss, abs_tol=2e-4
            ), f"{name}: {found}, transformers has {loss}"

        yield Case(
            "metaseq's " + name,
            [
                "btm",
                "eval-lm",
                "{golden}/hf_import/data",
                "--path",
                "{golden}/metaseq/" + name,
                "--gen-subset",
                "test",
                "--results-path",
                "x.json",
            ],
            check=check,
        )


def moe_rank_cases():
    """A mixture in the files of fairseq's moe branch, with the loss of fairseq's decoder and a
    dropless mixture in torch."""
    losses = json.loads((GOLDEN / "moe_ranks" / "expected.json").read_text())
    for gate, path, overrides in (
        ("top2", "{golden}/moe_ranks", "{}"),
        ("top1", "{golden}/moe_ranks/checkpoint_last-rank-1.pt", "{'moe_top1_expert': True}"),
    ):

        def check(folder, gate=gate):
            found = json.loads((folder / "x.json").read_text())["loss_base2"]
            assert math.isclose(found, losses[gate], abs_tol=2e-4), f"{gate}: {found}"

        flags = "--gen-subset test --tokens-per-sample 32 --results-path x.json".split()
        command = ["btm", "eval-lm", "{golden}/hf_import/data", "--path", path, *flags]
        yield Case(
            "ranks of fairseq's moe branch, " + gate,
            [*command, "--model-overrides", overrides],
            check=check,
        )


def moe_gating_cases():
    """The same mixture under the gates of fairseq's moe branch, without chance and with it."""
    command = "btm eval-lm {golden}/moe_gating/data --sample-break-mode eos --tokens-per-sample 32"
    command = [*command.split(), "--max-tokens", "200", "--moe-gating", "fairseq", "--path"]
    mixture = [*command, "{golden}/moe_ranks", "--results-path", "x.json"]
    expected = json.loads((GOLDEN / "moe_gating" / "expected.json").read_text())
    for name, gate in expected.items():

        def check(folder, gate=gate, name=name):
            found = json.loads((folder / "x.json").read_text())
            # fp32 sums in another order
            assert math.isclose(found["loss_base2"], gate["loss_base2"], abs_tol=2e-4), f"{found}"
            gating = found["moe_gating"][0]
            assert ("second_expert" in gating) == (name != "top1"), f"{gating}"
            assert gating["first_expert"]["over_capacity"] > 0, f"{gating}"

        overrides = ["--model-overrides", gate["overrides"]]
        yield Case(
            "fairseq's gating, " + name,
            mixture + overrides,
            stdout=["fairseq's gating of", "over capacity were"],
            check=check,
        )
    yield Case(
        "fairseq's gating, drawn",
        mixture,
        stdout=["of the first choices and"],
        stderr=["the second expert depends on chance (cfg.model.moe_second_expert_policy is"],
    )
    yield Case(
        "fairseq's gating, dense model",
        ["btm", "eval-lm", DATA, "--path", MODEL, "--gen-subset", "valid_fortunes"]
        + ["--moe-gating", "fairseq"],
        status=1,
        stderr=["checkpoint_last.pt: is no mixture of experts; --moe-gating fairseq is for these"],
    )


TOKENS_PER_SAMPLE = (
    "--tokens-per-sample N tokens in a sample (default: the models' positions, at most 1024)"
)
BATCH_SIZE = (
    "--batch-size, --max-sentences N samples in a batch; 0: no limit, as eval-lm and "
    "fairseq-eval-lm have it (default: {})"
)
MAX_TOKENS = "--max-tokens N tokens in a batch, padding included; 0: no limit (default: 36000)"


def same_defaults(batch_size):
    def check(text):
        words = " ".join(text.split())
        for line in (TOKENS_PER_SAMPLE, BATCH_SIZE.format(batch_size), MAX_TOKENS):
            assert line in words, f"--help lacks {line!r}"

    return check


CASES = [
    *(
        Case(
            f"what cuts the data of {command}",
            ["btm", *command.split(), "--help"],
            check_stdout=same_defaults(0 if command == "eval-lm" else 2),
        )
        for command in ("eval-lm", "ensemble-eval", "eval-matrix", "expert add")
    ),
    Case(
        "what computes",
        SHORT + ["--verbose", "--quiet", "--num-threads", "1", "--cpu", "--fp16"],
        stderr=["btm eval-lm: products: exact fp32, weights rounded to fp16; 1 thread"],
    ),
    Case(
        "what computes bf16x3",
        SHORT + ["--verbose", "--quiet", "--cpu", "--fp32-matmul", "bf16x3"],
        stderr=["btm eval-lm: products: bf16x3, "],
    ),
    Case(
        "the moving average of a model that has none",
        [
            "btm",
            "eval-lm",
            "{golden}/data-bin/perl",
            "--path",
            "{golden}/checkpoints/elm_perl",
            "--gen-subset",
            "test_perl",
            "--ema",
            "--cpu",
        ],
        1,
        stderr=["checkpoint_last.pt[extra_state.ema]: is missing, expected the averaged weights"],
        prints_before_error=True,
    ),
    *hugging_face_cases(),
    *domain_token_cases(),
    *metaseq_cases(),
    *moe_rank_cases(),
    *moe_gating_cases(),
    # fairseq-eval-lm 0.12.2 prints 5.0336, because it scores the first columns of rows with
    # padding.
    Case(
        "eval-lm padding amid rows",
        [
            "btm",
            "eval-lm",
            "{golden}/pad_inside",
            "--path",
            "{golden}/pad_inside/start.pt",
            "--gen-subset",
            "test",
            "--tokens-per-sample",
            "32",
            "--cpu",
        ],
        stdout=["Loss (base 2): 4.0247"],
        stderr=["targets are padding (<pad>) amid their rows and are not scored; fairseq-eval-lm"],
    ),
    # fairseq-eval-lm 0.12.2 prints the same: its one batch is the first shard. A default of 2
    # samples, which the ensembles have, would score 4,168 tokens here.
    Case(
        "shards of batches without limit",
        [
            "btm",
            "eval-lm",
            "{golden}/data-bin/perl",
            "--path",
            "{golden}/checkpoints/elm_perl/checkpoint_last.pt",
            "--gen-subset",
            "test_perl",
            "--tokens-per-sample",
            "128",
            "--num-shards",
            "2",
            "--cpu",
        ],
        stdout=["Evaluated 8,264 tokens", "Loss (base 2): 8.8922, Perplexity: 475.13"],
    ),
    Case("two batches", SHORT, stdout=["num. model params: 243,584", "Evaluated 445 tokens", LOSS]),
    Case("flags as --name=value", EVAL + ["--max-samples=1"], stdout=[LOSS]),
    Case(
        "the last of a repeated flag wins",
        EVAL + ["--max-samples", "7", "--max-samples", "1"],
        stdout=[LOSS],
    ),
    Case(
        "the last of two names of a flag wins",
        SHORT + ["--max-sentences", "5", "--batch-size", "2"],
        stdout=[LOSS],
    ),
    Case("a negative number is a value", SHORT + ["--seed", "-5"], stdout=["Evaluated 445 tokens"]),
    Case(
        "a flag of fairseq without effect here",
        SHORT + ["--criterion", "cross_entropy"],
        stdout=[LOSS],
        stderr=["btm eval-lm: warning: without effect here: --criterion"],
    ),
    Case(
        "progress as lines",
        SHORT + ["--log-format", "simple", "--log-interval", "1"],
        stderr=["eval-lm: 1 / 2 loss="],
    ),
    Case(
        "progress as JSON",
        SHORT + ["--log-format", "json", "--log-interval", "1"],
        stderr=['"done":1'],
    ),
    Case(
        "results as JSON", SHORT + ["--results-path", "results.json"], stdout=[LOSS], check=results
    ),
    Case("no data", ["btm", "eval-lm"], 2, stderr=["missing DATA"]),
    Case("two precisions", EVAL + ["--fp16", "--bf16"], 2, stderr=["exclude each other"]),
    Case("too many arguments", EVAL + ["more"], 2, stderr=["unexpected argument 'more'"]),
    Case(
        "a mistyped flag",
        EVAL + ["--bath-size", "3"],
        2,
        stderr=["unknown flag '--bath-size', did you mean --batch-size?"],
    ),
    Case(
        "a flag without its value",
        EVAL + ["--max-tokens"],
        2,
        stderr=["flag --max-tokens needs a value"],
    ),
    Case(
        "a value for a flag that takes none",
        EVAL + ["--quiet=1"],
        2,
        stderr=["flag --quiet takes no value"],
    ),
    Case(
        "text for a number",
        EVAL + ["--batch-size", "x"],
        2,
        stderr=["flag --batch-size: 'x', expected an integer"],
    ),
    Case(
        "a number beyond 64 bits",
        EVAL + ["--batch-size", "9" * 30],
        2,
        stderr=["expected an integer"],
    ),
    Case(
        "a number that is too small",
        EVAL + ["--batch-size", "-1"],
        2,
        stderr=["flag --batch-size: -1, expected at least 0"],
    ),
    Case(
        "a choice that is none",
        EVAL + ["--log-format", "tqmd"],
        2,
        stderr=["expected one of json, none, simple, tqdm"],
    ),
    Case(
        "a flag that would change results",
        EVAL + ["--self-target"],
        2,
        stderr=["flag --self-target is not supported"],
    ),
    Case(
        "overrides that are no Python literal",
        EVAL + ["--model-overrides", "{"],
        2,
        prints_before_error=True,
        stderr=["column 2: found the end"],
    ),
    Case(
        "a split that is not there",
        EVAL + ["--gen-subset", "valid"],
        1,
        prints_before_error=True,
        stderr=["no split 'valid' (splits here: test_fortunes, "],
    ),
    Case(
        "data that is not there",
        ["btm", "eval-lm", "nothing", "--path", MODEL],
        1,
        prints_before_error=True,
        stderr=["nothing"],
    ),
    Case(
        "a file for data",
        ["btm", "eval-lm", MODEL, "--path", MODEL],
        1,
        prints_before_error=True,
        stderr=["checkpoint_last.pt"],
    ),
    error_after_loading(
        "a model that is not there",
        EVAL + ["--path", "nothing.pt"],
        "nothing.pt: cannot open: No such file or directory",
    ),
    error_after_loading(
        "a folder for a model", EVAL + ["--path", DATA], "is a data-bin (it holds dict.txt"
    ),
    error_after_loading(
        "a dictionary for a model",
        EVAL + ["--path", DATA + "/dict.txt"],
        "is a dictionary, expected a checkpoint",
    ),
    error_after_loading(
        "an index for a model",
        EVAL + ["--path", DATA + "/valid_fortunes.idx"],
        "is the index of a data-bin",
    ),
    error_after_loading(
        "a FIFO for a model",
        EVAL + ["--path", "pipe"],
        "pipe: is a FIFO, expected a regular file",
        setup=fifo,
    ),
    error_after_loading(
        "an unreadable model",
        EVAL + ["--path", "secret.pt"],
        "Permission denied",
        setup=unreadable,
        unprivileged=True,
    ),
    error_after_loading(
        "a model of another dictionary",
        EVAL + ["--path", "{golden}/checkpoints/demix_fork/dense/checkpoint_last.pt"],
        "dict",
    ),
    error_after_loading(
        "a model of domain tokens without the flag",
        DOMAIN_TOKEN[:-1],
        "a dictionary of 2112 symbols does not fit",
        "it was trained with --add-domain-token",
    ),
    # Nothing is loaded first, so standard output is empty.
    Case(
        "a domain without a token",
        DOMAIN_TOKEN + ["--eval-domains", "politics", "--gen-subset", "test_politics"],
        2,
        stderr=["the domain 'politics' has no token in the model"],
    ),
    Case(
        "a forced token that no domain has",
        DOMAIN_TOKEN + ["--force-domain-token", "law"],
        2,
        stderr=["'law' is none of the domains that have tokens: fortunes, jargon, perl"],
    ),
    Case(
        "a forced token without tokens",
        EVAL + ["--force-domain-token", "law"],
        2,
        stderr=["--force-domain-token needs --add-domain-token"],
    ),
    Case(
        "domain tokens of one data-bin",
        EVAL + ["--add-domain-token"],
        2,
        stderr=["--add-domain-token needs --task multidomain_language_modeling"],
    ),
    Case(
        "domain tokens in a context window",
        DOMAIN_TOKEN + ["--context-window", "8"],
        2,
        stderr=["--add-domain-token and --context-window exclude each other"],
    ),
    Case(
        "results into a folder that is not there",
        SHORT + ["--results-path", "no/results.json"],
        1,
        stderr=["no/results.json: cannot create"],
    ),
    Case(
        "results to a device",
        SHORT + ["--results-path", "/dev/full"],
        1,
        stderr=["/dev/full: is a device or FIFO, expected a file to write"],
    ),
    Case(
        "results into a folder that is read only",
        SHORT + ["--results-path", "read-only/results.json"],
        1,
        setup=read_only,
        unprivileged=True,
        stderr=["read-only/results.json: cannot create: Permission denied"],
    ),
    Case(
        "standard output on a full disk",
        SHORT,
        1,
        stdout_to="/dev/full",
        stderr=["btm eval-lm: error: standard output: cannot write"],
    ),
    Case(
        "Ctrl-C",
        EVAL
        + [
            "--context-window",
            "120",
            "--batch-size",
            "1",
            "--tokens-per-sample",
            "128",
            "--log-format",
            "simple",
            "--log-interval",
            "1",
            "--results-path",
            "results.json",
        ],
        -signal.SIGINT,
        interrupt_at="eval-lm: 1 / ",
        check=nothing_left,
    ),
]
