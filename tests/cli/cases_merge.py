"""btm average, btm branch and btm release."""
import json
import pathlib
import signal
import struct

from case import Case

ELMS = "{golden}/checkpoints/"
TWO = f"{ELMS}elm_perl:{ELMS}elm_jargon"
AVERAGE = ["btm", "average", "--output-dir", "out", "--model-files", TWO]
BRANCH = ["btm", "branch", "--old-folder", ELMS, "--new-folder", ".", "--subfolder", "seed"]
BASED = AVERAGE + ["--base-model", ELMS + "seed"]
OUT = "out/checkpoint_last.pt"
CONFIG = ["btm", "average", "--output-dir", "out", "--config", "merge.yml"]
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
RUN = ["btm", "average", "--inputs", "{golden}/average_run", "--output", "out/average.pt"]

TUNE = AVERAGE + ["--tune", "{golden}/data-bin", "--tune-domains", "perl", "--cpu"]
TUNE += ["--tune-evaluations", "2", "--max-samples", "1", "--tokens-per-sample", "128"]
TUNE += ["--num-threads", "1"]


def tuned(folder):
    found = json.loads((folder / "out" / "tune.json").read_text())
    assert found["experts"] == ["elm_perl", "elm_jargon"], found
    assert abs(sum(found["posterior"]) - 1) < 1e-9 and len(found["trials"]) == 2, found
    assert (folder / "out" / "tune.html").exists() and (folder / OUT).exists()


def other_search(folder):
    (folder / "out").mkdir()
    (folder / "out" / "tune.json").write_text('{"settings": {}, "trials": []}')


def damaged_search(folder):
    (folder / "out").mkdir()
    (folder / "out" / "tune.json").write_text("[1]")


def averaged(folder):
    assert [path.name for path in (folder / "out").iterdir()] == [
        "checkpoint_last.pt"
    ], "something else was left behind"


def no_output(folder):
    left = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("results.jsonl", "seed.pt", "merge.yml")
    ]
    assert not left, f"left behind: {left}"


def results(text):
    return lambda folder: (folder / "results.jsonl").write_text(text)


def config(text):
    """Writes merge.yml, for CONFIG. The models are links, because the golden folder differs."""

    def write(folder):
        for name in ("elm_perl", "elm_jargon", "seed"):
            (folder / name).symlink_to(GOLDEN / "checkpoints" / name)
        (folder / "merge.yml").write_text(text)

    return write


TIES = """merge_method: ties
base_model: seed
models:
  - {model: elm_perl, parameters: {weight: 1, density: [0.2, 0.7]}}
  - model: elm_jargon
    parameters:
      weight: [{filter: self_attn, value: 0.5}, {value: 1}]
parameters: {density: 0.3}
dtype: bfloat16
"""


def branched(folder):
    assert (folder / "run" / "checkpoint_last.pt").stat().st_size > 2_000_000
    assert len(list((folder / "run").iterdir())) == 1, "something else was left behind"


def there_already(folder):
    (folder / "run").mkdir()
    (folder / "run" / "checkpoint_last.pt").write_text("trained")


def big_expert(folder):
    """Writes a legacy torch file with 400 MB of zeros (a hole), whose averaging can be
    interrupted."""
    import pickle

    class Storage:
        pass

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return (
                ("storage", Float, "0", "cpu", 100_000_000, None)
                if isinstance(value, Storage)
                else None
            )

        def save_global(self, value, name=None):
            self.write(pickle.GLOBAL + f"{value.__module__}\n{value.__qualname__}\n".encode())
            self.memoize(value)

        dispatch = {**pickle._Pickler.dispatch, type: save_global, type(big_expert): save_global}

    Float = type("FloatStorage", (), {"__module__": "torch", "__qualname__": "FloatStorage"})

    def _rebuild_tensor_v2(*_):
        ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )

    class Tensor:
        def __reduce__(self):
            return _rebuild_tensor_v2, (Storage(), 0, (100_000_000,), (1,), False, {})

    with open(folder / "seed.pt", "wb") as out:
        for value in (
            0x1950A86A20F9469CFC6C,
            1001,
            {"protocol_version": 1001, "little_endian": True, "type_sizes": {}},
        ):
            pickle.dump(value, out, protocol=2)
        Pickler(out, protocol=2).dump({"cfg": {"model": {}}, "model": {"decoder.w": Tensor()}})
        pickle.dump(["0"], out, protocol=2)
        out.write(struct.pack("<q", 100_000_000))
        out.truncate(out.tell() + 400_000_000)


CASES = [
    Case(
        "average of two",
        AVERAGE,
        stdout=[OUT, "linear, weights 0.5,0.5", "2 models"],
        check=averaged,
    ),
    Case(
        "average by weights",
        AVERAGE + ["--weights", "0.1,0.9"],
        stdout=["weights 0.1,0.9"],
        check=averaged,
    ),
    Case(
        "average with models separated by commas",
        AVERAGE[:-1] + [TWO.replace(":", ",")],
        stdout=["2 models"],
        check=averaged,
    ),
    Case(
        "average by a posterior",
        AVERAGE + ["--weights-from", "results.jsonl"],
        stdout=["weights 0.25,0.75"],
        check=averaged,
        setup=results('{"exp_avg_posterior": [0.5, 0.5]}\n{"exp_avg_posterior": [0.25, 0.75]}\n'),
    ),
    Case(
        "average by no posterior",
        AVERAGE + ["--weights-from", "results.jsonl"],
        1,
        setup=results('{"ppl": 1}\n'),
        check=no_output,
        stderr=["results.jsonl: the last line is", "exp_avg_posterior"],
    ),
    Case(
        "average by a posterior of other experts",
        AVERAGE + ["--weights-from", "results.jsonl"],
        2,
        setup=results('{"exp_avg_posterior": [1]}\n'),
        stderr=["1 weights for 2 models"],
        check=no_output,
    ),
    Case("slerp", AVERAGE + ["--method", "slerp"], stdout=["slerp"], check=averaged),
    Case(
        "ties",
        AVERAGE
        + [
            "--method",
            "ties",
            "--base-model",
            ELMS + "seed",
            "--density",
            "0.3",
            "--lambda",
            "0.7",
        ],
        stdout=["ties"],
        check=averaged,
    ),
    Case(
        "dare in half precision",
        AVERAGE + ["--method", "dare", "--base-model", ELMS + "seed", "--dtype", "bfloat16"],
        stdout=["dare"],
        check=averaged,
    ),
    Case(
        "average without an output",
        ["btm", "average", "--model-files", TWO],
        2,
        stderr=["missing --output-dir"],
    ),
    Case(
        "average without models",
        ["btm", "average", "--output-dir", "out"],
        2,
        stderr=["missing --model-files"],
        check=no_output,
    ),
    Case(
        "average of too few weights",
        AVERAGE + ["--weights", "1"],
        2,
        stderr=["1 weights for 2 models"],
        check=no_output,
    ),
    Case(
        "average of weights that are no numbers",
        AVERAGE + ["--weights", "0.5,half"],
        2,
        stderr=["flag --weights: 'half', expected a number"],
    ),
    Case(
        "average of NaN",
        AVERAGE + ["--weights", "nan,1"],
        2,
        stderr=["flag --weights: 'nan', expected a number"],
        check=no_output,
    ),
    Case(
        "average of weights beyond 1",
        AVERAGE + ["--weights", "1,1"],
        2,
        stderr=["sum to 2, expected 1", "--normalize"],
        check=no_output,
    ),
    Case(
        "average of weights beyond 1, normalized",
        AVERAGE + ["--weights", "1,1", "--normalize"],
        stdout=["weights 0.5,0.5"],
        check=averaged,
    ),
    Case(
        "weights twice",
        AVERAGE + ["--weights", "1,0", "--weights-from", "r"],
        2,
        stderr=["exclude each other"],
    ),
    Case(
        "ties without a base",
        AVERAGE + ["--method", "ties"],
        2,
        stderr=["ties needs a base model (--base-model)"],
        check=no_output,
    ),
    Case(
        "density without ties",
        AVERAGE + ["--density", "0.5"],
        2,
        stderr=["--density belongs to ties, dare*, breadcrumbs* and della*, found --method linear"],
    ),
    Case(
        "density beyond 1",
        AVERAGE + ["--method", "ties", "--density", "1.5"],
        2,
        stderr=["expected above 0 and at most 1"],
    ),
    Case(
        "a method that is none",
        AVERAGE + ["--method", "mean"],
        2,
        stderr=["'mean', expected one of linear, slerp"],
    ),
    Case(
        "average of models that differ",
        AVERAGE[:-1] + [TWO + ":{golden}/checkpoints/demix_fork/dense"],
        1,
        check=no_output,
        stderr=[
            "demix_fork/dense/checkpoint_last.pt: does not fit",
            "decoder.embed_tokens.weight is [",
        ],
    ),
    Case(
        "average of a model that is not there",
        AVERAGE[:-1] + [TWO + ":nothing.pt"],
        1,
        stderr=["nothing.pt: cannot open"],
        check=no_output,
    ),
    Case(
        "average into a file",
        ["btm", "average", "--output-dir", "results.jsonl/out", "--model-files", TWO],
        1,
        setup=results(""),
        stderr=["results.jsonl: is not a folder"],
        check=no_output,
    ),
    Case(
        "average interrupted",
        [
            "btm",
            "average",
            "--output-dir",
            "out",
            "--model-files",
            "seed.pt:seed.pt:seed.pt",
            "--num-threads",
            "1",
            "--log-format",
            "simple",
            "--log-interval",
            "1",
        ],
        -signal.SIGINT,
        setup=big_expert,
        interrupt_at="million parameters): ",
        check=no_output,
    ),
    Case(
        "average along a run",
        RUN + ["--num-update-checkpoints", "2", "--checkpoint-upper-bound", "30"],
        stdout=[
            "average.pt: the average of",
            "checkpoint_1_30.pt, ",
            "checkpoint_1_20.pt, weights",
        ],
        check=lambda folder: (folder / "out" / "average.pt").stat(),
    ),
    Case(
        "average of files given to --inputs",
        RUN[:2]
        + ["--inputs", f"{RUN[3]}/checkpoint_1_10.pt", f"{RUN[3]}/checkpoint_1_40.pt"]
        + ["--output", "both.pt"],
        stdout=["both.pt: ", "2 models"],
    ),
    Case(
        "average of more than a run has",
        RUN + ["--num-update-checkpoints", "9"],
        2,
        stderr=["holds 4 checkpoints of updates", "expected at least 9"],
        check=no_output,
    ),
    Case(
        "average along a run with weights",
        RUN + ["--weights", "1,0"],
        2,
        stderr=["--inputs averages along a run and excludes"],
        check=no_output,
    ),
    Case(
        "average of the last and the best",
        RUN + ["--num-update-checkpoints", "2", "--num-best-checkpoints", "1"],
        2,
        stderr=["exclude each other"],
    ),
    Case(
        "a bound without a number of checkpoints",
        RUN + ["--checkpoint-upper-bound", "3"],
        2,
        stderr=["--checkpoint-upper-bound needs --num-update-checkpoints"],
    ),
    Case(
        "average along a run without an output", RUN[:4], 2, stderr=["--inputs needs --output FILE"]
    ),
    Case(
        "flags of a run without one",
        AVERAGE + ["--num-update-checkpoints", "2"],
        2,
        stderr=["need --inputs"],
        check=no_output,
    ),
    Case(
        "average of stray words",
        ["btm", "average", "a.pt"],
        2,
        stderr=["unexpected argument 'a.pt'"],
    ),
    Case(
        "branch at an update",
        BRANCH + ["--new-subfolder", "run", "--phase-one-update-num", "90"],
        stdout=["src_filename {golden}/checkpoints/seed/checkpoint_1_100.pt"],
        check=branched,
    ),
    Case(
        "branch at a share",
        BRANCH + ["--new-subfolder", "run", "--phase-one-ratio", "0.5"],
        stdout=["checkpoint_1_100.pt"],
        check=branched,
    ),
    Case(
        "branch that is there",
        BRANCH + ["--new-subfolder", "run", "--phase-one-ratio", "0.5"],
        setup=there_already,
        stdout=["False"],
        stderr=["./run/checkpoint_last.pt exists"],
    ),
    Case(
        "branch from a DeMIX expert",
        [
            "btm",
            "branch",
            "--old-folder",
            ELMS,
            "--new-folder",
            ".",
            "--subfolder",
            "demix",
            "--new-subfolder",
            "run",
            "--phase-one-update-num",
            "-1",
            "--domain-id",
            "3",
        ],
        stdout=["expert_path {golden}/checkpoints/demix/checkpoint_last-rank-3.pt"],
    ),
    Case(
        "branch from some DeMIX expert",
        [
            "btm",
            "branch",
            "--old-folder",
            ELMS,
            "--new-folder",
            ".",
            "--subfolder",
            "demix",
            "--phase-one-update-num",
            "-1",
        ],
        2,
        stderr=["holds DeMIX experts: which of them? (--domain-id"],
        check=no_output,
    ),
    Case(
        "branch without a phase",
        BRANCH,
        2,
        stderr=["exactly one of --phase-one-ratio and --phase-one-update-num"],
        check=no_output,
    ),
    Case(
        "branch at a share beyond 1",
        BRANCH + ["--phase-one-ratio", "2"],
        2,
        stderr=["expected 0 to 1"],
        check=no_output,
    ),
    Case(
        "branch from nowhere",
        ["btm", "branch", "--old-folder", "no", "--new-folder", ".", "--phase-one-update-num", "1"],
        1,
        stderr=["no/.: is not a folder"],
    ),
    Case(
        "branch without a source",
        ["btm", "branch", "--new-folder", "."],
        2,
        stderr=["missing --old-folder"],
    ),
    Case(
        "the release's table",
        ["btm", "release"],
        stdout=["transformer_lm_gpt3_xl", "anonymized_openwebtext", "gamingcomments"],
    ),
    Case(
        "the release's table as JSON",
        ["btm", "release", "--json"],
        stdout=['"seed_phase_updates": 40000', '"C#"'],
    ),
    Case(
        "a value of the release",
        ["btm", "release", "--scale", "1.3B", "--value", "num_updates"],
        stdout=["12000"],
    ),
    Case(
        "a scale that is none",
        ["btm", "release", "--scale", "2B", "--value", "lr"],
        2,
        stderr=["'2B', expected one of the release's scales"],
    ),
    Case(
        "a column that is none",
        ["btm", "release", "--scale", "1.3B", "--value", "lrs"],
        2,
        stderr=["'lrs' is no column"],
    ),
    Case(
        "average by the loss on data",
        TUNE,
        stdout=["2 evaluations; number ", "Tuned on valid, held out: test.", OUT + ": linear"],
        check=tuned,
    ),
    Case(
        "average by the loss of groups that are not there",
        TUNE + ["--tune-groups", "3"],
        2,
        stderr=["--tune-groups 3, and the models have 2 layers"],
    ),
    Case(
        "average by the loss on a split that is not there",
        TUNE + ["--tune-subset", "no"],
        1,
        stderr=["--tune-subset: no domain to evaluate has the split 'no'"],
        check=no_output,
    ),
    Case(
        "average by the loss, with another method",
        TUNE + ["--method", "slerp"],
        2,
        stderr=["--tune is for --method linear"],
    ),
    Case(
        "average by the loss, after another search",
        TUNE,
        1,
        stderr=["out/tune.json: is of a search with other settings (--overwrite begins anew)"],
        setup=other_search,
    ),
    Case(
        "average by the loss, after damage",
        TUNE,
        1,
        stderr=["out/tune.json: "],
        setup=damaged_search,
    ),
    Case(
        "average model_stock with weights",
        AVERAGE + ["--method", "model_stock", "--base-model", ELMS + "seed", "--weights", "1,1"],
        2,
        stderr=["model_stock gives all models the same weight, found --weights"],
    ),
    Case(
        "average karcher with a base",
        AVERAGE + ["--method", "karcher", "--base-model", ELMS + "seed"],
        2,
        stderr=["karcher uses no base model"],
    ),
    Case("average by multislerp", AVERAGE + ["--method", "multislerp"], check=averaged),
    *(
        Case(
            f"average by {method}",
            BASED + ["--method", method, "--density", "0.4"],
            stdout=[OUT + f": {method}, weights 1,1"],
            check=averaged,
        )
        for method in ("dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties")
    ),
    Case(
        "average by della, with a density for each model",
        BASED + ["--method", "della", "--density", "0.4,0.7", "--epsilon", "0.1"],
        stdout=[": della, weights 1,1"],
        check=averaged,
    ),
    Case(
        "average by della_linear, not rescaled",
        BASED + ["--method", "della_linear", "--density", "0.5", "--rescale", "false"],
        check=averaged,
    ),
    Case(
        "average by sce",
        BASED + ["--method", "sce", "--select-topk", "0.2"],
        stdout=[OUT + ": sce; 2 models"],
        check=averaged,
    ),
    Case(
        "average by sce with weights",
        BASED + ["--method", "sce", "--weights", "1,1"],
        2,
        stderr=["sce finds the weights of the models itself, found --weights"],
        check=no_output,
    ),
    Case(
        "average by della beyond probabilities",
        BASED + ["--method", "della", "--density", "0.9"],
        2,
        stderr=["della keeps elements with probabilities from 0.75 to 1.05"],
        check=no_output,
    ),
    Case(
        "gamma without breadcrumbs",
        BASED + ["--method", "della", "--gamma", "0.1"],
        2,
        stderr=["--gamma belongs to breadcrumbs*, found --method della"],
    ),
    Case(
        "epsilon without della",
        BASED + ["--method", "sce", "--epsilon", "0.1"],
        2,
        stderr=["--epsilon belongs to della*, found --method sce"],
    ),
    Case(
        "select-topk without sce",
        BASED + ["--method", "ties", "--select-topk", "0.1"],
        2,
        stderr=["--select-topk belongs to sce, found --method ties"],
    ),
    Case(
        "select-topk beyond 1",
        BASED + ["--method", "sce", "--select-topk", "2"],
        2,
        stderr=["flag --select-topk: 2, expected 0 to 1"],
    ),
    Case(
        "average as in mergekit's configuration",
        CONFIG,
        setup=config(TIES),
        stdout=[OUT + ": ties as in merge.yml; 2 models"],
        check=averaged,
    ),
    Case(
        "average with a filter that fits no tensor",
        CONFIG,
        setup=config(TIES.replace("self_attn", "mlp")),
        stdout=["ties as in merge.yml"],
        stderr=["warning: merge.yml: line 7: no tensor has the filter 'mlp' of 'weight'"],
        check=averaged,
    ),
    Case(
        "average as in a configuration, and otherwise",
        CONFIG + ["--method", "ties"],
        2,
        setup=config(TIES),
        stderr=["--config says which models are merged, and how; it excludes --model-files"],
    ),
    Case(
        "average along a run as in a configuration",
        RUN + ["--config", "merge.yml"],
        2,
        stderr=["--inputs averages along a run and excludes"],
    ),
    Case(
        "average as in a configuration without an output",
        CONFIG[:2] + CONFIG[4:],
        2,
        setup=config(TIES),
        stderr=["missing --output-dir"],
    ),
    Case(
        "average as in a configuration that is not there",
        CONFIG,
        1,
        stderr=["merge.yml: cannot open"],
        check=no_output,
    ),
    Case(
        "average as in a configuration of layers",
        CONFIG,
        1,
        setup=config("merge_method: slerp\nslices: [{sources: []}]\n"),
        stderr=["merge.yml: line 2: 'slices' is not supported"],
        check=no_output,
    ),
    Case(
        "average as in a configuration with a tokenizer",
        CONFIG,
        1,
        setup=config(TIES + "tokenizer_source: union\n"),
        stderr=["merge.yml: line 10: 'tokenizer_source' is not supported"],
        check=no_output,
    ),
    Case(
        "average as in a configuration without weights",
        CONFIG,
        1,
        setup=config("merge_method: linear\nmodels: [{model: elm_perl}, {model: elm_jargon}]\n"),
        stderr=["merge.yml: 'decoder.", "no parameter 'weight' of elm_perl"],
    ),
    Case(
        "average as in a configuration of a model that is not there",
        CONFIG,
        1,
        setup=config("merge_method: karcher\nmodels: [{model: nothing}]\n"),
        stderr=["nothing: cannot open"],
        check=no_output,
    ),
    Case(
        "rescale that is neither",
        BASED + ["--method", "dare_ties", "--rescale", "yes"],
        2,
        stderr=["flag --rescale: 'yes', expected true or false"],
    ),
]
