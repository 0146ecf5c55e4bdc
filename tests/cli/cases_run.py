"""btm run: plans that cannot be run, and the messages about one that can.
tests/btm/run/end_to_end.py runs one."""
from case import Case

PLAN = """[data]
domains = a, b
text = {domain}
[train]
updates = 4
"""
HELD_OUT = PLAN.replace("text = {domain}", "train = {domain}/train.txt\nheld_out = 0.1")
ALONE = "held_out goes with train alone"


def write_plan(text):
    def setup(folder):
        (folder / "my.plan").write_text(text)
        for domain in "ab":
            (folder / domain).mkdir()
            for split in ("train", "valid", "test"):
                (folder / domain / f"{split}.txt").write_text("text\n")

    return setup


IS_NOT = "is not the result of btm eval-matrix: it "
BROKEN_MATRICES = {
    "": "is not JSON, expected the result of btm eval-matrix",
    "[]": "is not a JSON object, expected the result of btm eval-matrix",
    "{}": IS_NOT + "has no key 'rows'",
    '{"rows": [1], "domains": []}': IS_NOT + "holds number, expected an object or array",
    '{"rows": [], "domains": 1}': IS_NOT + "holds number, expected array",
}


def write_matrix(text):
    def setup(folder):
        write_plan(PLAN)(folder)
        (folder / "my-out" / "eval").mkdir(parents=True)
        (folder / "my-out" / "eval" / "matrix.json").write_text(text)

    return setup


def without_text(folder):
    (folder / "my.plan").write_text(PLAN)


CORPUS_PLAN = """[data]
corpus = corpus.txt
[clusters]
number = 2
[train]
updates = 4
"""


def write_corpus_plan(text):
    def setup(folder):
        (folder / "my.plan").write_text(text)
        (folder / "corpus.txt").write_text("text\n")

    return setup


def corpus_in_a_steps_folder(folder):
    (folder / "my.plan").write_text(CORPUS_PLAN.replace("corpus.txt", "my-out/text/corpus.txt"))
    (folder / "my-out/text").mkdir(parents=True)
    (folder / "my-out/text/corpus.txt").write_text("text\n")


def corpus_that_is_gone(folder):
    corpus_in_a_steps_folder(folder)
    (folder / "my-out/text/corpus.txt").unlink()


def link_in_a_steps_folder(folder):
    corpus_that_is_gone(folder)
    (folder / "corpus.txt").write_text("text\n")
    (folder / "my-out/text/corpus.txt").symlink_to("../../corpus.txt")


def link_to_a_steps_folder(folder):
    corpus_in_a_steps_folder(folder)
    (folder / "my.plan").write_text(CORPUS_PLAN)
    (folder / "corpus.txt").symlink_to("my-out/text/corpus.txt")


def corpus_is_kept(folder):
    assert (folder / "my-out/text/corpus.txt").read_text() == "text\n"


def nothing_is_made(folder):
    assert not (folder / "my-out").exists(), "a dry run made the output folder"


RUN = ["btm", "run", "{tmp}/my.plan"]

CASES = [
    *[
        Case(
            f"{name} where a step empties the folder",
            RUN,
            1,
            stderr=[place, "which step split empties before it begins"],
            setup=setup,
            check=check,
        )
        for name, place, setup, check in [
            ("a corpus", "my-out/text/corpus.txt", corpus_in_a_steps_folder, corpus_is_kept),
            ("a corpus that is gone", "my-out/text/corpus.txt", corpus_that_is_gone, None),
            ("a link", "my-out/text/corpus.txt", link_in_a_steps_folder, corpus_is_kept),
            ("a link's file", "/corpus.txt: lies in", link_to_a_steps_folder, corpus_is_kept),
        ]
    ],
    Case(
        "dry run",
        RUN + ["--dry-run"],
        stdout=[
            "expert.a",
            "to do",
            "btm train data-bin/a",
            "--reset-dataloader",
            "btm eval-matrix",
            "warning: the test text of a is small (1 kB): an interval, and with it a verdict,",
        ],
        setup=write_plan(PLAN),
        check=nothing_is_made,
    ),
    Case(
        "dry run with a share held out",
        RUN + ["--dry-run"],
        stdout=[
            "{tmp}/a/train.txt --valid-fraction 0.1 --test-fraction 0.1 --destdir data-bin/a",
            "--log-interval 1 ",
        ],
        never=["valid.txt", "test.txt"],
        setup=write_plan(HELD_OUT),
    ),
    *[
        Case(f"a share held out {name}", RUN, 1, stderr=[problem], setup=write_plan(text))
        for name, text, problem in [
            (
                "of a folder",
                HELD_OUT.replace("train = {domain}/train.txt", "text = {domain}"),
                ALONE,
            ),
            ("and files", HELD_OUT.replace("held_out", "test = {domain}/t\nheld_out"), ALONE),
            ("that is most", HELD_OUT.replace("0.1", "0.5"), "[data] held_out is above 0.4"),
            ("of nothing", HELD_OUT.replace("train = {domain}/train.txt", ""), "has no train"),
            ("in no number", HELD_OUT.replace("0.1", "a"), "held_out is 'a', expected a share"),
            ("not at all", HELD_OUT.replace("held_out = 0.1", ""), "and held_out = 0.05"),
        ]
    ],
    Case(
        "help",
        ["btm", "run", "--help"],
        stdout=["usage: btm run PLAN [flags]", "--executor {local,slurm}"],
    ),
    Case(
        "dry run of a corpus",
        RUN + ["--dry-run"],
        stdout=["btm cluster train", "--balanced", "expert.c1", "cluster_prior", "clusters/model"],
        setup=write_corpus_plan(CORPUS_PLAN),
    ),
    *[
        Case(
            f"a corpus {name}",
            RUN + ["--dry-run"],
            1,
            stderr=["my.plan", problem],
            setup=write_corpus_plan(CORPUS_PLAN.replace(old, new)),
        )
        for name, old, new, problem in [
            ("without a number", "number = 2", "", "[clusters] has no key number"),
            ("and domains", "[clusters]", "domains = a, b\n[clusters]", "a corpus without labels"),
            ("of one cluster", "number = 2", "number = 1", "an integer of at least 2"),
            ("with a name too few", "number = 2", "number = 2\nnames = a", "has 1 names for 2"),
            ("of other names", "number = 2", "number = 2\nnames = c1, c0", "cluster 0 is named c1"),
            ("held out", "number = 2", "number = 2\nheld_out = 1", "held_out"),
            (
                "of nothing",
                "corpus = corpus.txt",
                "domains = a, b\ntext = {domain}",
                "needs corpus",
            ),
        ]
    ],
    *[
        Case(
            f"a plan whose later step would refuse {name}",
            RUN + ["--dry-run"],
            1,
            stderr=["/my.plan: " + problem],
            setup=write_plan(PLAN + more),
        )
        for name, more, problem in [
            ("a flag", "flags = --fp61", "[train] flags: unknown flag '--fp61', did you mean"),
            (
                "a number",
                "[model]\nflags = --decoder-layers two",
                "[model] flags: flag --decoder-layers: 'two', expected",
            ),
            ("a word", "[evaluate]\nflags = --seed=x", "[evaluate] flags: flag --seed: 'x'"),
            (
                "a flag of the search",
                "[experts]\ntune = 3\ntune_flags = --seeds 1",
                "[experts] tune_flags: unknown flag '--seeds'",
            ),
            (
                "a flag of the mixture",
                "[mix]\nupdates = 3\nflags = --nothing",
                "[mix] flags: unknown flag '--nothing'",
            ),
            ("help", "flags = --help", "[train] flags: flag --help: it would run nothing"),
            (
                "a flag of prompts",
                "[generate]\nprompts = my.plan\nflags = --bean 5",
                "[generate] flags: unknown flag '--bean', did you mean --beam?",
            ),
        ]
    ],
    *[
        Case(
            f"a plan with {name}",
            RUN + ["--dry-run"],
            1,
            stderr=["/my.plan" + problem],
            setup=write_plan(text),
        )
        for name, text, problem in [
            (
                "a domain called dense",
                PLAN.replace("a, b", "a, dense"),
                ": [experts] names domain 'dense', but the table has another row of that name",
            ),
            (
                "one expert twice",
                PLAN + "[experts]\ndomains = a, a\n",
                "[line 7]: [experts] names domain 'a' twice",
            ),
            (
                "one ensemble twice",
                PLAN + "[evaluate]\nensembles = simple_average, simple_average\n",
                "[line 7]: [evaluate] names ensemble 'simple_average' twice",
            ),
            (
                "a separator in a name",
                PLAN.replace("a, b", "a, b=c"),
                "[line 2]: [data] domain 'b=c' is not a name of a folder",
            ),
        ]
    ],
    Case(
        "seed domains that the plan does not have",
        RUN + ["--dry-run"],
        1,
        stderr=["seed_domains names 'c', expected different domains of the plan, or all"],
        setup=write_plan(PLAN + "seed_domains = a, c\n"),
    ),
    Case(
        "a step before those it needs",
        RUN + ["--step", "evaluate"],
        1,
        stderr=["step evaluate failed (status 1)", "step expert.a is not done"],
        setup=write_plan(PLAN),
    ),
    Case("missing plan", ["btm", "run", "{tmp}/none.plan"], 1, stderr=["none.plan"]),
    Case(
        "mistyped key",
        RUN,
        1,
        stderr=["my.plan[line 5]: unknown key 'update' of [train], did you mean updates?"],
        setup=write_plan(PLAN.replace("updates", "update")),
    ),
    *[
        Case(
            "training flags that training would refuse: " + flags,
            RUN + ["--dry-run"],
            1,
            stderr=[problem, "(step seed)"],
            setup=write_plan(PLAN + f"flags = {flags}\n"),
        )
        for flags, problem in (
            ("--arch no_such_arch", "my.plan: --arch: architecture no_such_arch is not supported"),
            ("--fp16 --bf16", "my.plan: --fp16 and --bf16 exclude each other"),
            ("--decoder-attention-heads 7", "decoder_attention_heads"),
            ("--adaptive-softmax-cutoff 100", "cannot train adaptive softmax, which needs"),
        )
    ],
    Case("missing text", RUN + ["--dry-run"], 1, stderr=["a/train.txt"], setup=without_text),
    Case(
        "unknown step",
        RUN + ["--redo", "expert.c"],
        2,
        stderr=["no step 'expert.c', did you mean expert.a?"],
        setup=write_plan(PLAN),
    ),
    Case(
        "redo in a dry run",
        RUN + ["--redo", "expert.a", "--dry-run"],
        2,
        stderr=["--dry-run changes nothing, --redo sets a result aside"],
        setup=write_plan(PLAN),
    ),
    Case(
        "a step in a dry run",
        RUN + ["--step", "expert.a", "--dry-run"],
        2,
        stderr=["--dry-run changes nothing, --step runs a step"],
        setup=write_plan(PLAN),
        check=nothing_is_made,
    ),
    Case(
        "unknown executor",
        RUN + ["--executor", "pbs"],
        2,
        stderr=["'pbs', expected one of local, slurm"],
        setup=write_plan(PLAN),
    ),
    Case(
        "report of nothing", RUN + ["--report"], 1, stderr=["matrix.json"], setup=write_plan(PLAN)
    ),
    *[
        Case(
            f"report of {text}",
            RUN + ["--report"],
            1,
            stderr=["my-out/eval/matrix.json: " + problem + "\n"],
            setup=write_matrix(text),
        )
        for text, problem in BROKEN_MATRICES.items()
    ],
]
