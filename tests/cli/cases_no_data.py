"""No command gives a number where nothing was computed: data without a token, padding alone, samples that are all too long, a model that
diverged. Every other command that reads them ends in one line, too."""
import json
import pathlib
import shutil
import struct

from case import Case

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
OK, NAN = "{golden}/nan/ok.pt", "{golden}/nan/nan1.pt"  # of 16 positions
PAD, EOS, WORD = 1, 2, 5
NUMBERS = ["Perplexity", "ppl", "posterior", "Loss"]
KINDS = {
    "empty": ([], "holds no tokens"),
    "only padding": ([[PAD] * 6] * 3, "not padding"),
    "all too long": ([[WORD] * 40 + [EOS]] * 3, "nothing to evaluate in split"),
}


def write_split(prefix, sentences):
    """fairseq's mmap data-bin of uint16."""
    data = b"".join(struct.pack(f"<{len(sentence)}H", *sentence) for sentence in sentences)
    sizes = [len(sentence) for sentence in sentences]
    index = b"MMIDIDX\x00\x00" + struct.pack("<QBQ", 1, 8, len(sizes)) + struct.pack(f"<{len(sizes)}i", *sizes)
    index += struct.pack(f"<{len(sizes)}q", *[2 * sum(sizes[:i]) for i in range(len(sizes))])
    prefix.with_suffix(".bin").write_bytes(data)
    prefix.with_suffix(".idx").write_bytes(index)


def data_of(sentences):
    def setup(folder):
        for place in (folder / "data", folder / "data" / "d"):
            place.mkdir()
            shutil.copy(GOLDEN / "nan" / "data" / "dict.txt", place)
            for split in ("train", "valid", "test", "test_d", "valid_d"):
                write_split(place / split, sentences)
        forest = folder / "forest" / "ok"
        forest.mkdir(parents=True)
        shutil.copy(GOLDEN / "nan" / "ok.pt", forest / "checkpoint_last.pt")
    return setup


def no_result(folder):
    left = [path.name for path in folder.rglob("*") if path.name in ("result", "matrix.json", "matrix.csv", "report.html", "forest.json", "checkpoint_last.pt")
            and "forest/ok" not in str(path)]
    assert not left, f"left behind: {left}"


COMMON = ["--sample-break-mode", "eos", "--no-score-cache", "--results-path", "result"]
EVALUATIONS = {
    "eval-lm": ["btm", "eval-lm", "data", "--path", OK, "--sample-break-mode", "eos", "--results-path", "result"],
    "eval-lm of domains": ["btm", "eval-lm", "data", "--path", OK, "--sample-break-mode", "eos", "--results-path", "result",
                           "--task", "multidomain_language_modeling"],
    "ensemble-eval cached_prior": ["btm", "ensemble-eval", "data", "--path", f"{OK}:{OK}", "--ensemble-type", "cached_prior", "--precomputed-prior", "0.5,0.5", *COMMON],
    "ensemble-eval updating_prior": ["btm", "ensemble-eval", "data", "--path", f"{OK}:{OK}", "--ensemble-type", "updating_prior", *COMMON],
    "ensemble-eval simple_average": ["btm", "ensemble-eval", "data", "--path", f"{OK}:{OK}", "--ensemble-type", "simple_average", *COMMON],
    "eval-matrix": ["btm", "eval-matrix", "data", f"a={OK}", "--sample-break-mode", "eos"],
    "eval-matrix with experts": ["btm", "eval-matrix", "data", f"a={OK}", f"b={OK}", "--experts", "all", "--average", "--sample-break-mode", "eos"],
}


def no_data_cases():
    for kind, (sentences, message) in KINDS.items():
        for name, args in EVALUATIONS.items():
            yield Case(f"{name}, {kind}", args, 1, stderr=[message], never=NUMBERS, prints_before_error=True, setup=data_of(sentences), check=no_result)


DATA = "{golden}/nan/data"
DIVERGED = "nan1.pt: gives no probability (NaN or infinite) for target 1 of sample "


def left_out(folder):
    for line in (folder / "result").read_text().splitlines():
        row = json.loads(line)
        assert row["experts"] == ["nan1", "ok"] and row["left_out"] == ["nan1"], row
        assert row["posterior"] == [0, 1] and row["exp_avg_posterior"] == [0, 1] and row["ppl"] > 1, row


def matrix_without(folder):
    matrix = json.loads((folder / "eval-matrix" / "matrix.json").read_text())
    assert matrix["left_out"] == ["nan1"], matrix["left_out"]
    assert [row["name"] for row in matrix["rows"]] == ["ok", "ensemble uniform_prior"], matrix["rows"]
    assert matrix["rows"][0]["mean"]["ppl_low"] is None and matrix["rows"][0]["mean"]["blocks"] < 10, matrix["rows"][0]
    assert "Left out, diverged: nan1" in (folder / "eval-matrix" / "report.html").read_text()


def diverged_seed(folder):
    (folder / "seed").mkdir()
    shutil.copy(GOLDEN / "nan" / "nan1.pt", folder / "seed" / "checkpoint_last.pt")


def nothing_written(folder):
    left = [path.name for path in folder.iterdir() if path.name != "seed"]
    assert not left, f"left behind: {left}"


ENSEMBLE = ["btm", "ensemble-eval", DATA, "--path", f"{NAN}:{OK}", "--ensemble-type", "uniform_prior", "--no-score-cache", "--results-path", "result"]
MATRIX = ["btm", "eval-matrix", "{golden}/nan/mx", f"nan1={NAN}", f"ok={OK}", "--experts", "nan1,ok", "--ensembles", "uniform_prior"]
TRAIN = ["btm", "train", "data", "--arch", "transformer_lm_gpt3_small", "--decoder-layers", "1", "--decoder-embed-dim", "8", "--decoder-ffn-embed-dim", "8",
         "--decoder-attention-heads", "2", "--batch-size", "2", "--lr", "1e-3", "--max-update", "2", "--cpu", "--save-dir", "model",
         "--sample-break-mode", "eos", "--tokens-per-sample", "16"]

VALID = ["--valid-subset", "valid"]


def training_data(splits):
    """Of the data of a domain "d" and of a whole one: sentences by split."""
    def setup(folder):
        data_of([[WORD, WORD, EOS]] * 4)(folder)
        for split, sentences in splits.items():
            for place in (folder / "data", folder / "data" / "d"):
                write_split(place / split, sentences)
    return setup


def nothing_trained(folder):
    no_result(folder)
    assert not (folder / "model").exists(), "a save folder was left behind"


def training_cases():
    padding = [[PAD] * 6] * 3
    domains = ["--task", "multidomain_language_modeling", "--train-domains", "d", "--eval-domains", "d"]
    for kind, more in {"": [], " of domains": domains, " unbalanced": [*domains, "--unbalanced"]}.items():
        yield Case(f"train{kind}, only padding", TRAIN + ["--disable-validation", *more], 1, stderr=["split 'train' has no target that is not padding"],
                   never=NUMBERS + ["loss"], prints_before_error=True, setup=training_data({"train": padding}), check=nothing_trained)
        yield Case(f"train{kind}, only padding to validate", TRAIN + VALID + more, 1, stderr=["split 'valid' has no target that is not padding"],
                   never=NUMBERS + ["loss"], prints_before_error=True, setup=training_data({"valid": padding}), check=nothing_trained)
    yield Case("train, only padding in the first batches to validate", TRAIN + VALID + ["--max-valid-steps", "1"], 1,
               stderr=["split 'valid' has no target that is not padding"], never=NUMBERS, prints_before_error=True,
               setup=training_data({"valid": [[PAD] * 2] * 8 + [[WORD, WORD, EOS]]}), check=nothing_trained)
    yield Case("train, all too long to validate", TRAIN + VALID + ["--skip-invalid-size-inputs-valid-test"], 2,
               stderr=["no sample of 'valid' is left to validate on"], never=NUMBERS, prints_before_error=True,
               setup=training_data({"valid": [[WORD] * 40 + [EOS]] * 3}), check=nothing_trained)
    yield Case("train, some padding", TRAIN + VALID, stdout=["ppl"], setup=training_data({"valid": padding + [[WORD, EOS]], "train": padding + [[WORD, EOS]]}))


CASES = [
    *no_data_cases(),
    *training_cases(),
    Case("eval-lm, diverged", ["btm", "eval-lm", DATA, "--path", NAN, "--results-path", "result"], 1, stderr=[DIVERGED], never=NUMBERS,
         prints_before_error=True, check=no_result),
    Case("ensemble-eval, diverged", ENSEMBLE, 1, stderr=[DIVERGED, "; --skip-diverged leaves it out"], never=NUMBERS, prints_before_error=True, check=no_result),
    Case("ensemble-eval without the diverged", ENSEMBLE + ["--skip-diverged"], stdout=["posterior: nan1 0.0000, ok 1.0000", "left out, diverged: nan1"],
         stderr=["it is left out of the ensemble"], check=left_out),
    Case("eval-matrix, diverged", MATRIX, 1, stderr=["nan1: gives no probability", "of domain 'd1'", "; --skip-diverged leaves it out"], never=NUMBERS,
         check=no_result),
    Case("eval-matrix without the diverged", MATRIX + ["--skip-diverged"],
         stdout=["left out, diverged: nan1", "No interval where a domain has fewer than 10 blocks of 512 or more tokens to draw from: d1 (1)."],
         stderr=["it is left out"], check=matrix_without),
    Case("average, diverged", ["btm", "average", "--model-files", f"{OK}:{NAN}", "--output-dir", "average"], 1, stderr=["nan1.pt: '", "' holds infinity or NaN"], prints_before_error=True,
         check=nothing_written),
    Case("branch, diverged", ["btm", "branch", "--old-folder", "seed", "--new-folder", "new", "--phase-one-update-num", "-1"], 1,
         stderr=["checkpoint_last.pt: '", "' holds nan at element "], setup=diverged_seed, check=nothing_written),
    Case("--experts all without the seed", ["btm", "eval-matrix", "{golden}/nan/mx", f"seed={OK}", f"a={OK}", f"b={OK}", "--experts", "all", "--ensembles", "uniform_prior"],
         stdout=["ensemble uniform_prior"], stderr=["--experts all leaves out the model named seed (name it to mix it): a,b"]),
    Case("the length of samples is that of the model", ["btm", "eval-lm", DATA, "--path", OK], stdout=["Evaluated 125 tokens"]),
]
