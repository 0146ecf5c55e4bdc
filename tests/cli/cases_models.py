"""What names a model: each kind of model with each command, and what is no model."""
import json
import pathlib
import shutil

from case import Case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
ELM = "{golden}/checkpoints/elm_"


class World:
    """Models over one dictionary, and what the commands need to use them."""

    def __init__(self, data, split, train, kinds):
        self.data, self.split, self.train, self.kinds = data, split, train, kinds


CPU = ["--cpu", "--num-threads", "1"]
BTM = World(
    "{golden}/data-bin/perl",
    "test_perl",
    "--arch transformer_lm_gpt3_small --decoder-layers 2 --decoder-embed-dim 64"
    " --decoder-ffn-embed-dim 256 --decoder-attention-heads 4 --tokens-per-sample 128",
    {
        "a checkpoint": ELM + "perl/checkpoint_last.pt",
        "a folder with checkpoint_last.pt": ELM + "perl",
        "a DeMIX rank": "{golden}/checkpoints/demix/checkpoint_last-rank-1.pt",
        "a DeMIX folder of one rank": "{tmp}/demix",
    },
)
FOREIGN = World(
    "{golden}/hf_import/data",
    "test",
    "--arch transformer_lm_gpt --decoder-layers 2 --decoder-embed-dim 24"
    " --decoder-ffn-embed-dim 40 --decoder-attention-heads 3 --tokens-per-sample 16"
    " --decoder-learned-pos --activation-fn relu",
    {
        "a Hugging Face folder": "{golden}/hf_import/gpt2_untied",
        "a safetensors file": "{golden}/hf_import/gpt2_untied/model.safetensors",
    },
)
METASEQ = World(
    "{golden}/hf_import/data",
    "test",
    "--arch transformer_lm --decoder-layers 2 --decoder-embed-dim 16 --decoder-input-dim 16"
    " --decoder-output-dim 16 --decoder-ffn-embed-dim 32 --decoder-attention-heads 4"
    " --tokens-per-sample 32 --decoder-learned-pos --decoder-normalize-before"
    " --no-scale-embedding --share-decoder-input-output-embed",
    {
        "metaseq's file": "{golden}/metaseq/fused/restored.pt",
        "metaseq's parts": "{golden}/metaseq/parts",
    },
)
SEVERAL = {"a DeMIX folder": "{golden}/checkpoints/demix", "a forest": "{tmp}/forest"}
NONE = {
    "nothing": ("{tmp}/none", "none: "),
    "an empty folder": ("{tmp}/empty", "is an empty folder, expected a checkpoint"),
    "a folder of other checkpoints": (
        "{tmp}/best",
        "holds checkpoint_best.pt but no checkpoint_last.pt",
    ),
    "a data-bin": ("{golden}/data-bin/perl", "is a data-bin (it holds dict.txt, "),
    "a dictionary": ("{golden}/data-bin/dict.txt", "dict.txt: is a dictionary, expected"),
}


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def prepare(folder):
    checkpoints = GOLDEN / "checkpoints"
    for file in ("checkpoint_last-rank-0.pt", "checkpoint_last-shared.pt"):
        link(folder / "demix" / file, checkpoints / "demix" / file)
    for name in ("perl", "jargon"):
        link(folder / "forest" / "runs" / name, checkpoints / f"elm_{name}")
    (folder / "forest" / "forest.json").write_text(
        json.dumps(
            {
                "btm_forest": 1,
                "experts": [
                    {"name": name, "path": f"runs/{name}/checkpoint_last.pt", "parents": []}
                    for name in ("perl", "jargon")  # not the alphabet's order
                ],
            }
        )
    )
    (folder / "empty").mkdir()
    (folder / "best").mkdir()
    shutil.copy(checkpoints / "elm_perl" / "checkpoint_last.pt", folder / "best/checkpoint_best.pt")
    for world in (BTM, FOREIGN):  # a folder of domains for eval-matrix
        data = pathlib.Path(world.data.replace("{golden}", str(GOLDEN)))
        name = f"domains-{world.split}"
        link(folder / name / "dict.txt", data / "dict.txt")
        for suffix in ("bin", "idx"):
            link(folder / name / "d" / f"test.{suffix}", data / f"{world.split}.{suffix}")
        words = (data / "dict.txt").read_text()
        (folder / f"longer-{world.split}").write_text(words + "madeupword7777 0\n")


def eval_lm(world, model):
    return ["btm", "eval-lm", world.data, "--path", model, "--gen-subset", world.split, *SHORT]


def ensemble_eval(world, model):
    return [
        *("btm", "ensemble-eval", world.data, "--path", model, "--target-eval", world.split),
        *("--ensemble-type", "uniform_prior", "--no-score-cache", *SHORT),
    ]


def eval_matrix(world, model):
    return [
        *("btm", "eval-matrix", "{tmp}/domains-" + world.split, model, "--split", "test"),
        *("--resamples", "5", *SHORT),
    ]


def average(world, model):
    return ["btm", "average", "--output-dir", "out", "--model-files", model]


def base_model(world, model):
    elm = next(iter(world.kinds.values()))
    return [
        *("btm", "average", "--output-dir", "out", "--model-files", elm),
        *("--method", "task-arithmetic", "--base-model", model),
    ]


def branch(world, model):
    folder, _, name = model.rpartition("/")
    return [
        *("btm", "branch", "--old-folder", folder, "--subfolder", name, "--new-folder", "out"),
        *("--new-subfolder", ".", "--phase-one-update-num", "-1"),
    ]


def train(flag):
    def command(world, model):
        return [
            *("btm", "train", world.data, *world.train.split(), flag, model, "--save-dir", "out"),
            *("--train-subset", world.split, "--disable-validation", "--batch-size", "2"),
            *("--lr", "1e-3", "--stop-time-hours", "1e-6", *CPU),
            *(["--reset-optimizer", "--reset-dataloader"] if flag == "--restore-file" else []),
        ]

    return command


def expert_add(world, model):
    return [
        *("btm", "expert", "add", "grown", "d", "--data", world.data, "--from", model),
        *("--", *world.train.split(), "--train-subset", world.split, "--disable-validation"),
        *("--batch-size", "2", "--lr", "1e-3", "--stop-time-hours", "1e-6", *CPU),
    ]


def to_zip(world, model):
    return ["btm-convert", "checkpoint", model, "out/model.pt"]


def to_demix(world, model):
    return ["btm-convert", "checkpoint", model, "out/m", "--to", "demix"]


def repair(world, model):
    return ["btm-convert", "repair", model, "out/model.pt", "--dict", "{tmp}/longer-" + world.split]


def inspect(world, model):
    return ["btm-convert", "inspect", model]


def verify(world, model):
    return ["btm-convert", "verify", model]


SHORT = ["--tokens-per-sample", "14", "--batch-size", "2", "--max-samples", "1", *CPU]
OF_ONE = {
    "average --base-model": base_model,
    "train --restore-file": train("--restore-file"),
    "train --finetune-from-model": train("--finetune-from-model"),
    "expert add --from": expert_add,
    "repair": repair,
}
OF_SEVERAL = {
    "eval-lm": eval_lm,
    "ensemble-eval": ensemble_eval,
    "eval-matrix": eval_matrix,
    "average": average,
    "checkpoint": to_zip,
    "checkpoint --to demix": to_demix,
}
OF_ANYTHING = {"inspect": inspect, "verify": verify}
EVALUATING = ("eval-lm", "ensemble-eval", "eval-matrix")


def good_cases():
    commands = {**OF_ONE, **OF_SEVERAL, **OF_ANYTHING, "branch": branch}
    for world in (BTM, FOREIGN, METASEQ):
        for kind, model in world.kinds.items():
            for name, command in commands.items():
                if name == "branch" and "DeMIX" in kind:
                    continue  # asks for --domain-id
                yield Case(f"{name} of {kind}", command(world, model), setup=ready(name))
    for kind, model in SEVERAL.items():
        for name, command in {**OF_SEVERAL, **OF_ANYTHING}.items():
            if name == "checkpoint --to demix" and "forest" in kind:
                continue  # these experts share nothing: cases_merge has one that do
            yield Case(f"{name} of {kind}", command(BTM, model), setup=ready(name))


def ready(name):
    def setup(folder):
        prepare(folder)
        if "checkpoint" in name or name == "repair":
            (folder / "out").mkdir()

    return setup


def bad_cases():
    for kind, model in SEVERAL.items():
        for name, command in OF_ONE.items():
            yield error(name, kind, command(BTM, model), "models (", "expected one: name its")
    for kind, (model, phrase) in NONE.items():
        for name, command in {**OF_ONE, **OF_SEVERAL}.items():
            if kind == "nothing" and name == "expert add --from":
                continue  # which has words of its own: cases_expert
            yield error(name, kind, command(BTM, model), phrase)


def error(name, kind, args, *phrases):
    return Case(
        f"{name} of {kind}", args, 1, stderr=phrases, setup=ready(name), prints_before_error=True
    )


def says_what_a_model_is(text):
    words = " ".join(text.split())
    for phrase in (
        "A model is a checkpoint of fairseq or metaseq, a folder",
        "be NAME=MODEL, and a forest",
    ):
        assert phrase in words, f"--help lacks {phrase!r}"


CASES = [
    *good_cases(),
    *bad_cases(),
    *(
        Case(
            f"--help of {command}", [*command.split(), "--help"], check_stdout=says_what_a_model_is
        )
        for command in (
            *("btm eval-lm", "btm ensemble-eval", "btm eval-matrix", "btm average", "btm branch"),
            *("btm train", "btm expert add", "btm-convert checkpoint", "btm-convert repair"),
            *("btm-convert inspect", "btm-convert verify"),
        )
    ),
    Case(
        "a forest's order and names",
        ensemble_eval(BTM, "{tmp}/forest"),
        setup=prepare,
        stdout=["posterior: perl 0.", ", jargon 0."],
    ),
    Case(
        "names that are given",
        ensemble_eval(BTM, "a=" + ELM + "perl:b=" + ELM + "jargon"),
        setup=prepare,
        stdout=["posterior: a 0.", ", b 0."],
    ),
    Case(
        "a name that is given twice",
        eval_lm(BTM, "a=" + ELM + "perl:a=" + ELM + "jargon"),
        2,
        setup=prepare,
        prints_before_error=True,
        stderr=["two models are named 'a', expected a name for each"],
    ),
    Case(
        "a name for a forest",
        ensemble_eval(BTM, "x={tmp}/forest"),
        2,
        setup=prepare,
        prints_before_error=True,
        stderr=["names one model, and {tmp}/forest holds 2 models (perl, jargon)"],
    ),
]
