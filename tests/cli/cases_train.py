"""btm train."""
import json

from case import Case

DATA = "{golden}/data-bin/fortunes"
TINY = [
    "--arch",
    "transformer_lm_gpt3_small",
    "--decoder-layers",
    "1",
    "--decoder-embed-dim",
    "16",
    "--decoder-ffn-embed-dim",
    "16",
    "--decoder-attention-heads",
    "2",
    "--tokens-per-sample",
    "32",
    "--batch-size",
    "2",
    "--cpu",
    "--num-threads",
    "1",
]
TRAIN = ["btm", "train", DATA, *TINY, "--lr", "1e-3", "--max-update", "2", "--save-dir", "run"]
SHORT = TRAIN + ["--disable-validation"]
DOMAINS = [
    "btm",
    "train",
    "{golden}/data-bin",
    *TINY,
    "--lr",
    "1e-3",
    "--max-update",
    "2",
    "--save-dir",
    "run",
    "--disable-validation",
    "--task",
    "multidomain_language_modeling",
]


def files_in(folder):
    """All files but the lock, which remains."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".train.lock")


def saved(*names):
    def check(folder):
        found = files_in(folder / "run")
        assert found == sorted(names), f"in the save folder: {found}"

    return check


def nothing_saved(folder):
    assert not (folder / "run").exists() or not files_in(folder / "run"), "something was saved"


def text_as_checkpoint(folder):
    (folder / "run").mkdir()
    (folder / "run" / "checkpoint_last.pt").write_text("not a checkpoint")


def file_as_save_dir(folder):
    (folder / "run").write_text("")


def folder_as_log(folder):
    (folder / "log").mkdir()


def rows_are_fairseqs(folder):
    rows = [line.split(" | ", 3) for line in (folder / "log.txt").read_text().splitlines()]
    inner = [json.loads(row[3]) for row in rows if row[2] == "train_inner"]
    assert list(inner[0]) == [
        "epoch",
        "update",
        "loss",
        "ppl",
        "wps",
        "ups",
        "wpb",
        "bsz",
        "num_updates",
        "lr",
        "gnorm",
        "train_wall",
        "wall",
    ], inner[0]
    assert inner[1]["num_updates"] == "2", inner[1]


def usage(name, flags, *phrases, base=SHORT):
    return Case(name, base + flags, 2, stderr=phrases, check=nothing_saved)


def nothing_left(folder):
    left = [path.name for path in folder.iterdir()]
    assert not left, f"left behind: {left}"


def mistyped(name, flags, *phrases, status=1, base=SHORT):
    """An error in the names of the command line, which leaves no file and no folder."""
    return Case(
        name,
        base + flags + ["--wandb-project", "p"],
        status,
        stderr=phrases,
        prints_before_error=True,
        check=nothing_left,
    )


def failure(name, flags, *phrases, base=SHORT, **more):
    """An error that follows the start of the log."""
    return Case(name, base + flags, 1, stderr=phrases, prints_before_error=True, **more)


CASES = [
    Case(
        "what computes",
        SHORT + ["--verbose", "--cpu", "--fp16"],
        stdout=["products: exact fp32, weights rounded to fp16", "done training"],
    ),
    Case(
        "train two updates",
        SHORT,
        stdout=["Saved checkpoint run/checkpoint_last.pt", "done training"],
        check=saved("checkpoint_last.pt"),
    ),
    Case(
        "train with epochs of checkpoints",
        TRAIN
        + [
            "--valid-subset",
            "valid_fortunes",
            "--max-valid-steps",
            "1",
            "--save-interval-updates",
            "1",
            "--keep-interval-updates",
            "1",
        ],
        check=saved("checkpoint_1_2.pt", "checkpoint_best.pt", "checkpoint_last.pt"),
    ),
    Case(
        "train with two valid subsets says which the best goes by",
        [arg for arg in SHORT if arg != "--disable-validation"]
        + ["--valid-subset", "valid_fortunes,test_fortunes", "--max-valid-steps", "1"],
        stdout=['the best checkpoint goes by the loss of "valid_fortunes", the first of 2 sets'],
    ),
    Case(
        "train json rows",
        SHORT + ["--log-format", "json", "--log-interval", "1", "--log-file", "log.txt"],
        check=rows_are_fairseqs,
    ),
    Case(
        "train without saving", SHORT + ["--no-save"], stdout=["done training"], check=nothing_saved
    ),
    Case(
        "train with flags without effect",
        SHORT
        + ["--num-workers", "2", "--ddp-backend", "no_c10d", "--all-gather-list-size", "32000"],
        stderr=[
            "btm train: warning: without effect here:",
            "--num-workers",
            "--ddp-backend",
            "--all-gather-list-size",
        ],
    ),
    Case(
        "train the last of a repeated flag wins",
        SHORT + ["--max-update", "50", "--max-update", "1"],
        stdout=["Stopping training: 1 updates"],
    ),
    Case(
        "train lists as fairseq writes them",
        SHORT + ["--lr", "[5e-4]", "--update-freq", "2,1", "--adam-betas", "(0.9, 0.98)"],
        stdout=["done training"],
    ),
    Case("train domains without flags takes all", DOMAINS, stdout=["done training"]),
    Case(
        "train domains logs their names",
        DOMAINS + ["--criterion", "desynchronized_cross_entropy"],
        stdout=["ppl_fortunes", "ppl_perl"],
        never=["ppl_0"],
    ),
    Case(
        "train unbalanced logs no domain",
        DOMAINS + ["--unbalanced", "--criterion", "desynchronized_cross_entropy"],
        stdout=["| ppl "],
        never=["ppl_"],
    ),
    Case(
        "train an epoch list of schedules",
        SHORT + ["--lr-scheduler", "cosine", "--warmup-updates", "1"],
        stdout=["done training"],
    ),
    Case(
        "train a warm-up from zero with --stop-min-lr 0",
        SHORT
        + [
            "--lr-scheduler",
            "polynomial_decay",
            "--warmup-updates",
            "2",
            "--total-num-update",
            "9",
            "--stop-min-lr",
            "0",
            "--max-update",
            "1",
        ],
        stdout=["Stopping training: 1 updates"],
    ),
    Case(
        "train help",
        ["btm", "train", "--help"],
        stdout=["--memory-efficient-fp16", "--distributed-world-size", "Accepted without effect:"],
    ),
    Case("train without data", ["btm", "train"], 2, stderr=["missing DATA"]),
    usage(
        "train without arch",
        [],
        "--arch is missing",
        base=["btm", "train", DATA, "--batch-size", "2"],
    ),
    usage(
        "train without a batch size",
        [],
        "--batch-size (--max-sentences) or --max-tokens",
        base=["btm", "train", DATA, "--arch", "transformer_lm"],
    ),
    usage(
        "train with a mistyped flag",
        ["--max-updates", "3"],
        "unknown flag '--max-updates', did you mean --max-update?",
    ),
    usage("train with a flag that would change numbers", ["--amp"], "flag --amp is not supported"),
    usage(
        "train with another optimizer",
        ["--optimizer", "lamb"],
        "--optimizer 'lamb' is not supported: it is apex's FusedLAMB, whose update is missing "
        "(supported: adam, nag, sgd, adagrad, adafactor, adamax)",
    ),
    usage(
        "train sgd without fp32 copies",
        ["--optimizer", "sgd", "--memory-efficient-fp16"],
        "--optimizer sgd cannot work without fp32 copies of the weights",
    ),
    usage(
        "train adagrad in fp16 with flat gradients",
        ["--optimizer", "adagrad", "--fp16"],
        "--optimizer adagrad with --fp16 needs --fp16-no-flatten-grads, as in fairseq",
    ),
    usage(
        "train adafactor by its own rate",
        ["--optimizer", "adafactor", "--relative-step"],
        "--relative-step and --warmup-init are refused, as in fairseq",
    ),
    usage(
        "train adafactor with one epsilon",
        ["--optimizer", "adafactor", "--adafactor-eps", "1e-30"],
        "--adafactor-eps '1e-30', expected two numbers of at least 0",
    ),
    usage(
        "train with another schedule",
        ["--lr-scheduler", "pass_through"],
        "expected one of fixed, polynomial_decay, inverse_sqrt, cosine, tri_stage, "
        "reduce_lr_on_plateau, triangular, manual",
    ),
    usage(
        "train adaptive softmax with cross entropy",
        ["--adaptive-softmax-cutoff", "100,500"],
        "--criterion cross_entropy cannot train adaptive softmax, which needs adaptive_loss",
    ),
    usage(
        "train a plain output layer with adaptive loss",
        ["--criterion", "adaptive_loss"],
        "--criterion adaptive_loss needs adaptive softmax (--adaptive-softmax-cutoff)",
    ),
    usage(
        "train with character embeddings",
        ["--character-embeddings"],
        "flag --character-embeddings is not supported",
    ),
    usage("train with both half precisions", ["--fp16", "--bf16"], "exclude each other"),
    usage(
        "train with betas that are none",
        ["--adam-betas", "0.9"],
        "--adam-betas '0.9', expected two numbers",
    ),
    usage("train with a list of text", ["--update-freq", "a"], "flag --update-freq"),
    usage(
        "train with an update frequency of 0",
        ["--update-freq", "0"],
        "--update-freq 0, expected at least 1",
    ),
    usage(
        "train with a probability above 1",
        ["--activation-dropout", "1.5"],
        "expected a probability",
    ),
    usage(
        "train domains of one data-bin",
        ["--train-domains", "a"],
        "need --task multidomain_language_modeling",
    ),
    mistyped(
        "train on a folder that is none",
        [],
        "nowhere: is not a folder",
        base=["btm", "train", "nowhere", *TINY],
    ),
    mistyped(
        "train two ranks on a folder that is none",
        ["--distributed-world-size", "2"],
        "nowhere: is not a folder",
        base=["btm", "train", "nowhere", *TINY],
    ),
    mistyped(
        "train on a split that is not there",
        ["--train-subset", "trian"],
        "no split 'trian' (splits here: ",
        "train",
    ),
    mistyped(
        "train with a validation split that is not there",
        ["--valid-subset", "vaild"],
        "no split 'vaild' (splits here: ",
        base=TRAIN,
    ),
    mistyped(
        "train with an architecture that is not there",
        ["--arch", "transformer_lm_gpt9"],
        "architecture transformer_lm_gpt9 is not supported",
    ),
    mistyped(
        "train from a checkpoint that is not there",
        ["--restore-file", "x.pt"],
        "x.pt: does not exist (--restore-file)",
    ),
    mistyped(
        "train on from a model that is not there",
        ["--finetune-from-model", "x.pt"],
        "x.pt: does not exist (--finetune-from-model)",
    ),
    failure(
        "train from a file that is no checkpoint",
        [],
        "run/checkpoint_last.pt",
        setup=text_as_checkpoint,
    ),
    failure(
        "train from a model of another size",
        ["--restore-file", "{golden}/checkpoints/seed/checkpoint_last.pt"],
        "tensors do not fit the configuration",
    ),
    failure("train into a file", [], "run: cannot create the folder", setup=file_as_save_dir),
    failure(
        "train with a log that cannot be written",
        ["--log-file", "log"],
        "log: cannot open",
        setup=folder_as_log,
    ),
    Case(
        "train with a log on a full disk",
        SHORT,
        1,
        stdout_to="/dev/full",
        stderr=["btm train: error: standard output: cannot write: No space left on device\n"],
    ),
    failure(
        "train until the loss is not finite", ["--lr", "1e30", "--max-update", "50"], "(samples ["
    ),
    mistyped(
        "train domains that are not there",
        ["--train-domains", "sports"],
        "--train-domains: ",
        "no folder 'sports'",
        status=2,
        base=DOMAINS,
    ),
    Case(
        "train with a moving average",
        SHORT + ["--store-ema", "--ema-decay", "0.5", "--log-format", "json"],
        stdout=['"train_ema_decay": "0.5"', "done training"],
        check=saved("checkpoint_last.pt"),
    ),
    usage("train with a decay and no average", ["--ema-decay", "0.5"], "need --store-ema"),
    usage("train with a decay above 1", ["--store-ema", "--ema-decay", "2"], "expected 0 to 1"),
    usage(
        "train DeMIX with an average",
        ["--store-ema", "--desynchronize", "--sync-type", "none", "--untie-parameters", "all"],
        "--store-ema and --desynchronize exclude each other",
        base=DOMAINS,
    ),
    mistyped(
        "train from an average that is not there",
        ["--store-ema", "--ema-seed-model", "no.pt"],
        "no.pt: does not exist (--ema-seed-model)",
    ),
    failure(
        "train from a model without an average",
        ["--store-ema", "--ema-seed-model", "{golden}/checkpoints/seed/checkpoint_last.pt"],
        "[extra_state.ema]: is missing",
    ),
]
