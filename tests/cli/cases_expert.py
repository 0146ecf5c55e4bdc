"""btm expert and btm forest."""
import json
import pathlib
import shutil
import sys

from case import Case

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

from small_forest import BATCHES, DOMAINS, GOLDEN, MACHINE, TRAIN, make_forest  # noqa: E402

DATA = ["--data", "{golden}/data-bin/perl"]
FOREST = "{tmp}/forest"
ADD = [
    "btm",
    "expert",
    "add",
    FOREST,
    "perl",
    *DATA,
    "--cpu",
    "--num-threads",
    "1",
    "--prior-batches",
    "3",
    "--max-samples",
    "3",
]
SCORED = [*BATCHES, "--max-samples", "1", *MACHINE]


def released(folder):
    make_forest(folder / "forest")


def manifest(folder):
    return json.loads((folder / "forest" / "forest.json").read_text())


def expert(folder, name="perl"):
    return next(one for one in manifest(folder)["experts"] if one["name"] == name)


def taken_out(document, folder):
    document["removed"] = [document["experts"].pop(1)]


def is_back(folder):
    assert [one["name"] for one in manifest(folder)["experts"]] == [
        "fortunes",
        "politics",
        "jargon",
    ], manifest(folder)
    assert "removed" not in manifest(folder)


def is_renamed(folder):
    names = [one["name"] for one in manifest(folder)["experts"]]
    assert names == ["fortunes", "hackers", "politics"], names
    assert expert(folder, "hackers")["path"] == "hackers/checkpoint_last.pt"
    assert (folder / "forest/hackers/checkpoint_last.pt").exists()
    assert not (folder / "forest/jargon").exists()


def gone(document, folder):
    shutil.rmtree(folder / "forest" / "jargon")


def of_run(document, folder):
    document["experts"][1]["start"] = "run"


def with_manifest(change):
    def setup(folder):
        released(folder)
        entries = [
            {"name": name, "path": f"{name}/checkpoint_last.pt", "parents": []} for name in DOMAINS
        ]
        document = {"btm_forest": 1, "experts": entries}
        change(document, folder)
        (folder / "forest" / "forest.json").write_text(json.dumps(document))

    return setup


def begun(document, folder):
    """Makes an addition that was interrupted before its first checkpoint: half fortunes, half
    jargon."""
    document["experts"].append(
        {
            "name": "perl",
            "path": "perl/checkpoint_last.pt",
            "start": "posterior",
            "complete": False,
            "data": str((GOLDEN / "data-bin" / "perl").resolve()),
            "parents": [{"model": "fortunes", "weight": 0.5}, {"model": "jargon", "weight": 0.5}],
        }
    )


def nearest_of_three(folder):
    names = [one["name"] for one in manifest(folder)["experts"]]
    assert names == [*DOMAINS, "perl"], names
    added = expert(folder)
    assert added["start"] == "nearest" and added["complete"] and added["valid_ppl"] > 1, added
    assert len(added["parents"]) == 1 and added["parents"][0]["model"] in DOMAINS, added
    for domain in DOMAINS:
        was, now = (
            GOLDEN / "checkpoints" / f"elm_{domain}" / "checkpoint_last.pt",
            folder / "forest" / domain / "checkpoint_last.pt",
        )
        assert was.read_bytes() == now.read_bytes(), f"{domain} was changed"


def average_of_three(folder):
    added = expert(folder)
    weights = [parent["weight"] for parent in added["parents"]]
    assert len(weights) == 3 and abs(sum(weights) - 1) < 1e-5, weights  # float32 sums
    assert not (folder / "forest" / "perl" / "start.pt").exists(), "the average was left behind"


def goes_on_as_begun(folder):
    added = expert(folder)
    assert added["complete"] and [parent["weight"] for parent in added["parents"]] == [
        0.5,
        0.5,
    ], added


def removed(files_stay):
    def check(folder):
        assert [one["name"] for one in manifest(folder)["experts"]] == [
            "fortunes",
            "politics",
        ], manifest(folder)
        assert (folder / "forest" / "jargon").exists() == files_stay

    return check


def from_checkpoint(folder):
    added = expert(folder)
    assert (
        added["start"] == "checkpoint" and added["complete"] and added["parents"][0]["weight"] == 1
    ), added


def unchanged(folder):
    assert not (folder / "forest" / "forest.json").exists(), "a manifest was written"


def stranger(folder):
    """Makes a checkpoint at the path of the new expert, which no manifest names."""
    released(folder)
    (folder / "forest" / "forest.json").write_text('{"btm_forest": 1, "experts": []}')
    (folder / "forest" / "perl").mkdir()
    (folder / "forest" / "perl" / "checkpoint_last.pt").write_text("")


def damaged(folder):
    (folder / "forest").mkdir()
    (folder / "forest" / "forest.json").write_text(
        '{"btm_forest": 1, "experts": [{"name": "a", "path": "/etc/passwd", "parents": []}]}'
    )


def empty_forest(folder):
    (folder / "forest").mkdir()
    (folder / "forest" / "forest.json").write_text('{"btm_forest": 1, "experts": []}')


def no_checkpoint(folder):
    released(folder)
    (folder / "forest" / "jargon" / "checkpoint_last.pt").write_text("text")


def nothing_begun(folder):
    assert not (folder / "forest" / "perl").exists(), list((folder / "forest").rglob("*"))
    if (folder / "forest" / "forest.json").exists():
        assert [one["name"] for one in manifest(folder)["experts"]] == DOMAINS, manifest(folder)


def untouched(folder):
    unchanged(folder)
    nothing_begun(folder)


def no_expert(folder):
    assert (
        not (folder / "forest" / "perl").exists() and manifest(folder)["experts"] == []
    ), manifest(folder)


def no_forest(folder):
    assert not (folder / "forest").exists(), list(folder.rglob("*"))


def many_clusters(folder):
    for cluster in range(11):
        (folder / "forest" / f"c{cluster}").mkdir(parents=True)
        shutil.copy(
            GOLDEN / "checkpoints" / "elm_perl" / "checkpoint_last.pt",
            folder / "forest" / f"c{cluster}",
        )


def of_cluster(folder):
    """Makes the data of one cluster, as btm cluster assign writes them."""
    released(folder)
    shutil.copytree(GOLDEN / "data-bin" / "perl", folder / "split" / "perl")
    (folder / "split" / "perl" / "cluster.json").write_text(
        json.dumps(
            {
                "btm_cluster": 1,
                "cluster": 7,
                "model_sha256": "e" * 64,
                "files": ["train.bin", "train.idx", "dict.txt"],
            }
        )
    )


def cluster_is_kept(folder):
    added = expert(folder)
    assert added["cluster"] == 7 and added["cluster_model_sha256"] == "e" * 64, added


WIDER = ["--", *[{"64": "32", "256": "128"}.get(flag, flag) for flag in TRAIN[1:]]]

LIFE = [
    Case(
        "bring an expert back",
        ["btm", "expert", "add", FOREST, "jargon"],
        stdout=["jargon/checkpoint_last.pt is in the forest again, nothing was trained"],
        setup=with_manifest(taken_out),
        check=is_back,
    ),
    Case(
        "take up a folder that is in no manifest",
        ["btm", "expert", "add", FOREST, "perl"],
        stdout=["perl/checkpoint_last.pt is in the forest again"],
        setup=lambda folder: (
            released(folder),
            shutil.copytree(folder / "forest/jargon", folder / "forest/perl"),
            (folder / "forest/forest.json").write_text('{"btm_forest": 1, "experts": []}'),
        ),
    ),
    Case(
        "bring back what is there",
        ["btm", "expert", "add", FOREST, "jargon"],
        stdout=["jargon is in the forest already"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "list what was removed and what is missing",
        ["btm", "expert", "list", FOREST],
        stdout=["missing", "removed"],
        setup=with_manifest(
            lambda document, folder: (
                taken_out(document, folder),
                shutil.rmtree(folder / "forest/politics"),
            )
        ),
    ),
    Case(
        "rename",
        ["btm", "expert", "rename", FOREST, "jargon", "hackers"],
        stdout=["jargon is now hackers"],
        setup=released,
        check=is_renamed,
    ),
    Case(
        "rename to what is there",
        ["btm", "expert", "rename", FOREST, "jargon", "politics"],
        2,
        stderr=["'politics' is there already"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "rename what is not there",
        ["btm", "expert", "rename", FOREST, "jargn", "x"],
        2,
        stderr=["no expert 'jargn'", "did you mean jargon?"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "rename what a plan makes",
        ["btm", "expert", "rename", FOREST, "jargon", "x"],
        2,
        stderr=["is made by btm run: rename its domain in the plan"],
        setup=with_manifest(of_run),
    ),
    Case(
        "check",
        ["btm", "expert", "check", FOREST],
        stdout=["jargon: ok", "nothing is wrong"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "check of a forest with a missing file",
        ["btm", "expert", "check", FOREST],
        1,
        stdout=["jargon/checkpoint_last.pt does not exist"],
        stderr=["forest: 1 of its experts are not as they should be (see above)"],
        prints_before_error=True,
        setup=with_manifest(gone),
    ),
    Case(
        "the average without an expert",
        ["btm", "average", "--output-dir", "out", "--model-files", FOREST, "--without", "jargon"],
        setup=released,
        stdout=["2 models"],
        stderr=["are taken as experts"],
    ),
    Case(
        "the average without a stranger",
        ["btm", "average", "--output-dir", "out", "--model-files", FOREST, "--without", "lav"],
        2,
        setup=with_manifest(lambda document, folder: None),
        stderr=["--without names 'lav', expected some of the models: fortunes, jargon, politics"],
    ),
    Case(
        "the average over one that is there",
        ["btm", "average", "--output-dir", "forest/jargon", "--model-files", FOREST],
        1,
        setup=with_manifest(lambda document, folder: None),
        stderr=["forest/jargon/checkpoint_last.pt: is there already (--overwrite replaces it)"],
    ),
]

TEXT = "{golden}/corpus/perl/test.txt"
ADD_TEXT = ["btm", "expert", "add", FOREST, "perl", TEXT, *MACHINE]


def with_tokenizer(folder):
    released(folder)
    shutil.copy(GOLDEN / "data-bin/dict.txt", folder / "forest")
    shutil.copy(GOLDEN / "corpus/spm.model", folder / "forest")


def of_a_run(folder):
    """The output of btm run, with its forest."""
    with_manifest(lambda document, folder: None)(folder)
    (folder / "out").mkdir()
    (folder / "forest").rename(folder / "out" / "experts")
    (folder / "out" / "seed").mkdir()
    shutil.copy(GOLDEN / "checkpoints/seed/checkpoint_last.pt", folder / "out" / "seed")
    (folder / "out" / "tokeniser").mkdir()
    shutil.copy(GOLDEN / "corpus/spm.model", folder / "out" / "tokeniser")
    (folder / "out" / "data-bin").mkdir()
    shutil.copy(GOLDEN / "data-bin/dict.txt", folder / "out" / "data-bin")


def added_to_the_run(folder):
    manifest = json.loads((folder / "out/experts/forest.json").read_text())
    added = manifest["experts"][-1]
    assert added["name"] == "perl" and added["complete"], manifest
    data = folder / "out/data-bin/perl"
    assert pathlib.Path(added["data"]).samefile(data), added
    assert all((data / f"{split}.bin").exists() for split in ("train", "valid", "test"))


def added_from_text(folder):
    added = expert(folder)
    data = folder / "forest/perl/data-bin"
    assert added["complete"] and pathlib.Path(added["data"]).samefile(data), added
    assert (data / "dict.txt").read_bytes() == (folder / "forest/dict.txt").read_bytes()


FROM_TEXT = [
    Case(
        "add from text",
        [*ADD_TEXT, "--max-update", "1", "--batch-size", "1", "--max-samples", "1"],
        stdout=["Stopping training: 1 updates", "perl {tmp}/forest/perl/checkpoint_last.pt ppl "],
        stderr=["train: ", "% replaced by <unk>", "averaging 3 experts"],
        setup=with_tokenizer,
        check=added_from_text,
    ),
    Case(
        "add from text to a run",
        ["btm", "expert", "add", "out", "perl", TEXT, *MACHINE, "--from", "jargon"]
        + ["--max-update", "1", "--batch-size", "1", "--max-samples", "1"],
        stdout=["ppl "],
        setup=of_a_run,
        check=added_to_the_run,
    ),
    Case(
        "add from text that is not there",
        ["btm", "expert", "add", FOREST, "perl", "none.txt"],
        1,
        stderr=["btm expert add: error: none.txt: cannot open"],
        setup=with_tokenizer,
    ),
    Case(
        "add from a pattern of texts, which preprocess takes",
        ["btm", "expert", "add", FOREST, "perl", "none*.txt"],
        1,
        stderr=["btm-convert preprocess: error: none*.txt"],
        setup=with_tokenizer,
    ),
    Case(
        "add from text and data",
        [*ADD_TEXT, *DATA],
        2,
        stderr=["found TEXT and --data, expected one of them"],
        setup=with_tokenizer,
        check=unchanged,
    ),
    Case(
        "add from text without a tokenizer",
        ADD_TEXT,
        2,
        stderr=["no dict.txt lies beside it, expected --data FOLDER"],
        setup=released,
    ),
    Case(
        "add from text over an expert that is there",
        ["btm", "expert", "add", FOREST, "jargon", TEXT],
        2,
        stderr=["'jargon' was not made by btm expert add"],
        setup=with_tokenizer,
    ),
    Case(
        "add with a rate that is none",
        [*ADD_TEXT, "--lr", "fast"],
        2,
        stderr=["flag --lr: 'fast', expected a number or a list of numbers"],
        setup=with_tokenizer,
        lines_on_stderr=3,
    ),
    Case(
        "the output of a run stands for its forest",
        ["btm", "expert", "list", "out"],
        stdout=["fortunes", "jargon", "politics"],
        never=["seed"],
        setup=of_a_run,
    ),
    Case(
        "the output of a run as models",
        ["btm", "score", "out", "--text", "A word.", "--format", "json", "--quiet"],
        stdout=['{"experts": ["fortunes","jargon","politics"]'],
        setup=of_a_run,
    ),
    Case(
        "rename in the output of a run",
        ["btm", "expert", "rename", "out", "jargon", "hackers"],
        stdout=["jargon is now hackers"],
        setup=of_a_run,
        check=lambda folder: (folder / "out/experts/hackers/checkpoint_last.pt").stat(),
    ),
]

CASES = [
    *LIFE,
    *FROM_TEXT,
    Case(
        "add from the nearest",
        ADD + ["--from", "nearest", *TRAIN, "--max-update", "2", "--disable-validation"],
        stdout=["Stopping training: 2 updates", "perl {tmp}/forest/perl/checkpoint_last.pt ppl "],
        stderr=["fortunes: ppl", "jargon: ppl", "politics: ppl"],
        setup=released,
        check=nearest_of_three,
    ),
    Case(
        "add from the posterior",
        ADD + [*TRAIN, "--max-update", "1", "--disable-validation"],
        stderr=["politics: posterior", "averaging 3 experts"],
        setup=released,
        check=average_of_three,
    ),
    Case(
        "add goes on",
        ADD + [*TRAIN, "--max-update", "1", "--disable-validation"],
        stderr=["averaging 2 experts"],
        setup=with_manifest(begun),
        check=goes_on_as_begun,
    ),
    Case(
        "add from a checkpoint to a new forest",
        ADD
        + [
            "--from",
            "{golden}/checkpoints/seed/checkpoint_last.pt",
            *TRAIN,
            "--max-update",
            "1",
            "--disable-validation",
        ],
        stdout=["ppl"],
        check=from_checkpoint,
    ),
    Case(
        "add help",
        ["btm", "expert", "add", "--help"],
        stdout=["usage: btm expert add FOREST DOMAIN", "--from START"],
    ),
    Case("expert help", ["btm", "expert", "--help"], stdout=["add", "remove", "list"]),
    Case("no command", ["btm", "expert"], stdout=["usage: btm expert COMMAND", "  add "]),
    Case(
        "unknown command",
        ["btm", "expert", "ad"],
        2,
        stderr=["btm expert: error: unknown command 'ad', did you mean add?"],
    ),
    Case("help of add", ["btm", "help", "expert", "add"], stdout=["[flags] [-- FLAGS]"]),
    Case(
        "add without data",
        ["btm", "expert", "add", FOREST, "perl"],
        2,
        stderr=["missing TEXT or --data"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "add of data that is not there",
        ["btm", "expert", "add", FOREST, "perl", "--data", "{tmp}/none"],
        1,
        stderr=["none: is not a folder"],
        setup=released,
        check=unchanged,
    ),
    Case("add to a forest that is not there", ADD, 1, stderr=["forest: is not a folder"]),
    Case(
        "add to an empty forest",
        ADD,
        2,
        stderr=["has no expert to start from"],
        setup=lambda folder: (folder / "forest").mkdir(),
        check=unchanged,
    ),
    Case(
        "add from an unknown expert",
        ADD + ["--from", "jargn"],
        2,
        stderr=["'jargn', expected nearest, posterior", "fortunes, jargon, politics"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "add a released expert again",
        ["btm", "expert", "add", FOREST, "jargon", *DATA],
        2,
        stderr=["'jargon' was not made by btm expert add"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "add under a path as name",
        ADD + ["--name", "../perl"],
        2,
        stderr=["cannot name an expert"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "add with a save folder",
        ADD + ["--", "--save-dir", "x"],
        2,
        stderr=["--save-dir after -- is set by btm expert add itself"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "add without a split to choose by",
        ADD + ["--split", "valid_x"],
        2,
        stderr=["no split 'valid_x'"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "add over a stranger",
        ADD,
        2,
        stderr=["holds a checkpoint that the manifest does not name"],
        setup=stranger,
    ),
    Case(
        "add from a damaged expert",
        ADD + TRAIN,
        1,
        stderr=["jargon/checkpoint_last.pt"],
        setup=no_checkpoint,
        check=unchanged,
    ),
    Case(
        "add with other data than begun",
        ["btm", "expert", "add", FOREST, "perl", "--data", "{golden}/data-bin/jargon"],
        2,
        stderr=["was started with --data"],
        setup=with_manifest(begun),
    ),
    Case(
        "add of another width",
        ADD + WIDER,
        1,
        setup=released,
        check=untouched,
        stderr=[
            "forest/fortunes/checkpoint_last.pt[model]: tensors do not fit the configuration",
            "decoder.embed_tokens.weight",
        ],
    ),
    Case(
        "add of another width from a checkpoint",
        ADD + ["--from", "{golden}/checkpoints/seed/checkpoint_last.pt", *WIDER],
        1,
        check=no_forest,
        stderr=["seed/checkpoint_last.pt[model]: tensors do not fit the configuration"],
    ),
    Case(
        "add with a mistyped flag of training",
        ADD + [*TRAIN, "--max-updates", "1"],
        2,
        setup=released,
        check=untouched,
        stderr=["unknown flag '--max-updates', did you mean --max-update?"],
    ),
    Case(
        "add whose training cannot start",
        ADD + ["--from", "jargon", *TRAIN, "--train-subset", "none", "--max-update", "1"],
        1,
        setup=released,
        check=nothing_begun,
        stderr=["no split 'none'"],
        lines_on_stderr=2,
        prints_before_error=True,
    ),
    Case(
        "add to a new forest whose training cannot start",
        ADD
        + [
            "--from",
            "{golden}/checkpoints/seed/checkpoint_last.pt",
            *TRAIN,
            "--train-subset",
            "none",
        ],
        1,
        stderr=["no split 'none'"],
        prints_before_error=True,
        check=no_expert,
    ),
    Case(
        "add of a cluster",
        [
            "btm",
            "expert",
            "add",
            FOREST,
            "perl",
            "--data",
            "{tmp}/split/perl",
            "--cpu",
            "--num-threads",
            "1",
            "--from",
            "jargon",
            *TRAIN,
            "--max-update",
            "1",
            "--disable-validation",
        ],
        setup=of_cluster,
        stdout=["ppl"],
        check=cluster_is_kept,
    ),
    Case(
        "forest of clusters",
        ["btm", "forest", FOREST, "--paths"],
        setup=many_clusters,
        stdout=[
            ":".join(f"{{tmp}}/forest/c{cluster}/checkpoint_last.pt" for cluster in range(11))
            + "\n"
        ],
        stderr=[
            "forest has no forest.json: all its 11 subfolders with a checkpoint_last.pt are taken "
            "as experts: c0, c1, c2, "
        ],
    ),
    Case(
        "remove",
        ["btm", "expert", "remove", FOREST, "jargon"],
        stdout=["jargon removed; its files stay"],
        setup=released,
        check=removed(True),
    ),
    Case(
        "remove with files",
        ["btm", "expert", "remove", FOREST, "jargon", "--delete"],
        stdout=["removed with its files"],
        setup=released,
        check=removed(False),
    ),
    Case(
        "remove what is not there",
        ["btm", "expert", "remove", FOREST, "jargn"],
        2,
        stderr=["no expert 'jargn'", "did you mean jargon?"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "remove a parent in use",
        ["btm", "expert", "remove", FOREST, "jargon"],
        2,
        stderr=["'perl' starts from 'jargon'"],
        setup=with_manifest(begun),
    ),
    Case(
        "list",
        ["btm", "expert", "list", FOREST],
        stdout=["fortunes/checkpoint_last.pt", "0.500*fortunes 0.500*jargon", "to be continued"],
        setup=with_manifest(begun),
    ),
    Case(
        "list json",
        ["btm", "expert", "list", FOREST, "--json"],
        stdout=['"manifest": false', '"name": "politics"', '"updates": 200'],
        setup=released,
    ),
    Case(
        "forest of the release",
        ["btm", "forest", FOREST],
        stdout=["fortunes", "200"],
        setup=released,
        check=unchanged,
    ),
    Case(
        "forest paths",
        ["btm", "forest", FOREST, "--paths"],
        setup=with_manifest(begun),
        stdout=[
            "{tmp}/forest/fortunes/checkpoint_last.pt:{tmp}/forest/jargon/checkpoint_last.pt:"
            "{tmp}/forest/politics/checkpoint_last.pt\n"
        ],
    ),
    Case(
        "forest models",
        ["btm", "forest", FOREST, "--models"],
        stdout=["jargon={tmp}/forest/jargon/checkpoint_last.pt\n"],
        setup=released,
    ),
    Case(
        "forest models of none",
        ["btm", "forest", "{tmp}", "--models"],
        1,
        stderr=["has no complete expert"],
    ),
    Case(
        "an ensemble of a forest",
        [
            "btm",
            "ensemble-eval",
            "{golden}/data-bin/perl",
            "--path",
            FOREST + ":{golden}/checkpoints/elm_perl/checkpoint_last.pt",
            *SCORED,
            "--target-eval",
            "valid_perl",
            "--ensemble-type",
            "cached_prior",
            "--precomputed-prior",
            "0,0.25,0.25,0.5",
            "--no-score-cache",
        ],
        setup=with_manifest(begun),
        stdout=[
            "loading model(s) from "
            "{tmp}/forest/fortunes/checkpoint_last.pt:{tmp}/forest/jargon/checkpoint_last.pt:"
            "{tmp}/forest/politics/checkpoint_last.pt:"
            "{golden}/checkpoints/elm_perl/checkpoint_last.pt",
            "final ppl: ",
        ],
    ),
    Case(
        "an ensemble of a forest without experts",
        [
            "btm",
            "ensemble-eval",
            "{golden}/data-bin/perl",
            "--path",
            FOREST,
            "--ensemble-type",
            "uniform_prior",
            "--target-eval",
            "valid_perl",
        ],
        1,
        setup=empty_forest,
        stderr=["forest: has no complete expert"],
    ),
    Case(
        "the average of a forest",
        ["btm", "average", "--output-dir", "out", "--model-files", FOREST],
        setup=released,
        stdout=["3 models"],
        stderr=[
            "forest has no forest.json: all its 3 subfolders with a checkpoint_last.pt are taken "
            "as experts: fortunes, jargon, politics"
        ],
    ),
    Case(
        "a matrix of a forest",
        [
            "btm",
            "eval-matrix",
            "{golden}/data-bin",
            "seed={golden}/checkpoints/seed/checkpoint_last.pt",
            FOREST,
            *SCORED,
            "--domains",
            "perl",
            "--resamples",
            "50",
        ],
        setup=released,
        stdout=["4 evaluations computed", "fortunes ", "jargon ", "politics "],
    ),
    Case(
        "forest paths of none",
        ["btm", "forest", "{tmp}", "--paths"],
        1,
        stderr=["has no complete expert"],
    ),
    Case(
        "forest twice",
        ["btm", "forest", FOREST, "--paths", "--json"],
        2,
        stderr=["exclude each other"],
        setup=released,
    ),
    Case(
        "forest with a bad manifest",
        ["btm", "forest", FOREST],
        1,
        stderr=["forest.json[experts[0].path]", "inside the forest"],
        setup=damaged,
    ),
    Case("forest that is not there", ["btm", "forest", FOREST], 1, stderr=["is not a folder"]),
]
