"""Writes tests/golden/adaptive: fairseq's other language models, trained for 40 updates.

    $(scripts/fairseq-env) scripts/make_adaptive_golden.py tests/golden     # fairseq 0.12.2

NAME/checkpoint_last.pt without optimizer state; wiki103/initial_weights.pt and wiki103/log.jsonl.
Rows of fairseq-eval-lm go to eval.json, those of its hub interface to generate/rows.jsonl.
"""
import json
import os
import pathlib
import re
import sys
import tempfile

import torch
from compare_optimizers import ADAPTIVE_SIZES, WIKI103
from fairseq import options
from fairseq.models.transformer_lm import TransformerLanguageModel
from fairseq.tasks.language_modeling import LanguageModelingTask
from fairseq_cli import eval_lm, train
from logged_lines import run

SAME = "--task language_modeling --tokens-per-sample 128 --max-sentences 4 --seed 1 "
SAME += "--required-batch-size-multiple 1 "
SAME += "--cpu --log-format json --log-interval 1 --max-update 40 --num-workers 0 "
SAME += "--no-epoch-checkpoints --disable-validation --valid-subset train --ddp-backend legacy_ddp "
ADAM = "--optimizer adam --lr 2e-3 --lr-scheduler inverse_sqrt --warmup-updates 10 "
ADAPTIVE = "--criterion adaptive_loss --adaptive-softmax-dropout 0 "
MODELS = {
    "wiki103": WIKI103,
    "untied_projections": ADAM + ADAPTIVE + "--arch transformer_lm_gpt --adaptive-input "
    "--adaptive-input-cutoff 100,500,2000 --adaptive-softmax-cutoff 100,500,2000 "
    "--adaptive-input-factor 1.5 --adaptive-softmax-factor 1.5 --tie-adaptive-weights",
    "softmax_alone": ADAM + ADAPTIVE + "--arch transformer_lm_gbw "
    "--adaptive-softmax-cutoff 300,2112 --decoder-output-dim 24 --decoder-input-dim 40",
    "input_alone": ADAM + "--arch transformer_lm_gpt2_tiny --adaptive-input "
    "--adaptive-input-cutoff 700",
    # XGLM: sinusoidal positions, tied embeddings, norms before the sub-layers.
    "xglm": ADAM + "--arch transformer_lm_gpt --share-decoder-input-output-embed",
}
KEYS = ("num_updates", "epoch", "update", "loss", "ppl", "gnorm", "clip", "lr", "wpb", "bsz")


def train_one(target, data, flags):
    build = LanguageModelingTask.build_model

    def build_and_save(self, *args, **kwargs):
        model = build(self, *args, **kwargs)
        torch.save({"model": model.state_dict()}, target / "initial_weights.pt")
        return model

    LanguageModelingTask.build_model = build_and_save
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(data), *(SAME + ADAPTIVE_SIZES + flags).split(), "--save-dir", folder]
        lines, _ = run(train.main, options.get_training_parser(), arguments)
        state = torch.load(f"{folder}/checkpoint_last.pt", weights_only=False)
    LanguageModelingTask.build_model = build
    del state["last_optimizer_state"]
    state["cfg"]["task"]["data"] = state["cfg"]["checkpoint"]["save_dir"] = ""
    torch.save(state, target / "checkpoint_last.pt")
    rows = [json.loads(line) for line in lines if line.startswith('{"')]
    rows = [{key: row[key] for key in KEYS if key in row} for row in rows if "gnorm" in row][:40]
    (target / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def loss_row(golden, name, data, subset):
    model = f"adaptive/{name}/checkpoint_last.pt"
    flags = f"--path {golden / model} --gen-subset {subset} --sample-break-mode none "
    flags += "--tokens-per-sample 128 --batch-size 2 --cpu --num-workers 0"
    lines, _ = run(eval_lm.main, options.get_eval_lm_parser(), [str(golden / data), *flags.split()])
    text = "\n".join(lines)
    loss = re.search(r"Loss \(base 2\): ([\d.]+), Perplexity: ([\d.]+)", text)
    tokens = re.search(r"Evaluated ([\d,]+) tokens", text)
    return {
        "model": model,
        "data": data,
        "subset": subset,
        "extra": [],
        "loss_base2": float(loss[1]),
        "ppl": float(loss[2]),
        "tokens": int(tokens[1].replace(",", "")),
    }


def text_rows(golden, name, data):
    folder = golden / "adaptive" / name
    hub = TransformerLanguageModel.from_pretrained(
        str(folder), "checkpoint_last.pt", str(golden / data)
    )
    hub.eval()
    same = {"models": [f"adaptive/{name}/checkpoint_last.pt"], "data": data}
    corpus = golden / "corpus/fortunes"
    lines = (corpus / "test.txt").read_text().splitlines()
    pieces = (corpus / "test.spm").read_text().splitlines()
    pairs = [pair for pair in zip(lines, pieces) if 40 < len(pair[0]) < 110][:4]
    for line, its_pieces in pairs:
        found = hub.score(its_pieces)
        yield {
            "kind": "score",
            **same,
            "text": line,
            "tokens": hub.encode(its_pieces).tolist(),
            "positional_scores": [round(x, 6) for x in found["positional_scores"].tolist()],
            "score": round(float(found["score"]), 6),
        }
    choices_of = [{"beam": 1, "max_len_b": 24}, {"beam": 4, "max_len_b": 24, "lenpen": 0.5}]
    for (line, its_pieces), choices in zip(pairs, choices_of):
        words = its_pieces.split(" \u2581")[:4]  # no piece crosses a space
        prompt = " ".join(line.split()[:4])
        tokens = hub.encode(" \u2581".join(words))[:-1]
        hypotheses = hub.generate([tokens], **choices)[0]
        yield {
            "kind": "generate",
            **same,
            "prompt": prompt,
            "prompt_tokens": tokens.tolist(),
            "options": choices,
            "hypotheses": [
                {
                    "tokens": one["tokens"].tolist(),
                    "positional_scores": [round(x, 6) for x in one["positional_scores"].tolist()],
                    "score": round(float(one["score"]), 6),
                }
                for one in hypotheses
            ],
        }


def main():
    golden = pathlib.Path(sys.argv[1])
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    data = golden / "data-bin/fortunes"
    losses, texts = [], []
    for name, flags in MODELS.items():
        target = golden / "adaptive" / name
        target.mkdir(parents=True, exist_ok=True)
        train_one(target, data, flags)
        if name != "wiki103":
            (target / "initial_weights.pt").unlink()
            (target / "log.jsonl").unlink()
        losses.append(loss_row(golden, name, "data-bin/fortunes", "test_fortunes"))
        if name in ("wiki103", "softmax_alone"):
            texts += text_rows(golden, name, "data-bin/fortunes")
        print(losses[-1], flush=True)
    path = golden / "eval.json"
    kept = [row for row in json.loads(path.read_text()) if not row["model"].startswith("adaptive/")]
    path.write_text(json.dumps(kept + losses, indent=1))
    path = golden / "generate/rows.jsonl"
    kept = [line for line in path.read_text().splitlines() if '["adaptive/' not in line]
    path.write_text("".join(f"{line}\n" for line in kept + [json.dumps(row) for row in texts]))


if __name__ == "__main__":
    main()
