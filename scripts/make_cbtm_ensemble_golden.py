#!/usr/bin/env python3
"""Writes what c-BTM's SequenceScorerBTM makes of experts' scores, for each of its ensemble types.

It runs sequence_scorer_btm.py of a checkout of kernelmachine/cbtm with models that give fixed
probabilities. The clusterer is that of FOLDER/1.2.1 (scripts/make-clusterer-golden, whose
environment it needs, with PYTHONPATH as there).
usage: make_cbtm_ensemble_golden.py CBTM FOLDER     writes FOLDER/ensembles.json
"""
import importlib.util
import json
import pathlib
import random
import sys
import types

import make_clusterer_golden as clusterer
import torch

EXPERTS, VOCABULARY, LENGTH, TEMPERATURE = 4, 40, 30, 0.3


def scorer_module(checkout):
    """sequence_scorer_btm with stand-ins for the parts of metaseq that it imports."""
    utils = types.ModuleType("metaseq.utils")
    utils.strip_pad = lambda tensor, pad: tensor[tensor.ne(pad)]
    metaseq = types.ModuleType("metaseq")
    metaseq.utils = utils
    train = types.ModuleType("metaseq.scripts.train_clusterer")
    train.NumberNormalizingVectorizer = clusterer.NumberNormalizingVectorizer
    for name, module in {
        "metaseq": metaseq,
        "metaseq.utils": utils,
        "metaseq.scripts": types.ModuleType("metaseq.scripts"),
        "metaseq.scripts.train_clusterer": train,
    }.items():
        sys.modules[name] = module
    path = pathlib.Path(checkout) / "metaseq" / "sequence_scorer_btm.py"
    spec = importlib.util.spec_from_file_location("sequence_scorer_btm", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Model:
    """Gives the same probabilities to every batch: [1, T, V]."""

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def __call__(self, tokens):
        return (self.probabilities, None)

    def get_normalized_probs(self, out, log_probs, sample):
        return out[0].log() if log_probs else out[0].clone()


class Tokenizer:
    """Symbols that end with @@ go on with the next one; id 2 (</s>) is left out."""

    def __init__(self, symbols):
        self.symbols = symbols

    def decode_batch(self, rows):
        return ["".join(self.word(i) for i in row) for row in rows]

    def word(self, token):
        symbol = self.symbols[token]
        return "" if token < 4 else symbol[:-2] if symbol.endswith("@@") else symbol + " "


def main(checkout, folder):
    module = scorer_module(checkout)
    rng = random.Random(3)
    # Words that the clusterer knows, a third of them in two pieces.
    lines = (folder / "lines.txt").read_text(encoding="utf-8").split("\n")
    known = module.load_model(folder / "1.2.1" / "tfidf.pkl")["tfidf"].vocabulary_
    words = [word for word in sorted(known) if len(word) > 3][:: len(known) // 30][:24]
    symbols = ["<s>", "<pad>", "</s>", "<unk>"]
    for i, word in enumerate(words):
        symbols += [word[:2] + "@@", word[2:]] if i % 3 == 0 else [word]
    symbols = (symbols + lines[5].split())[:VOCABULARY]
    torch.manual_seed(5)
    tokens = [2] + [rng.randrange(4, len(symbols)) for _ in range(LENGTH)]
    net_input, target = torch.tensor([tokens[:-1]]), torch.tensor([tokens[1:]])
    models = [
        Model(torch.softmax(2 * torch.randn(1, LENGTH, len(symbols)), -1)) for _ in range(EXPERTS)
    ]
    torch.distributed.get_world_size = lambda *_: EXPERTS
    runs = []
    for kind in ("clustering", "product_of_experts", "bayes"):
        for topk in (-1, 2):
            scorer = module.SequenceScorerBTM(
                types.SimpleNamespace(pad=lambda: 1, eos=lambda: 2),
                path_to_clusterer=str(folder / "1.2.1"),
                num_clusters=EXPERTS,
                temperature=TEMPERATURE,
                tokenizer=Tokenizer(symbols),
                ensemble_type=kind,
            )
            sample = {"net_input": net_input, "target": target}
            found = scorer.generate(
                models,
                sample,
                ensemble=True,
                ensemble_weighted_average=True,
                prior=[1 / EXPERTS] * EXPERTS,
                topk=topk,
            )[0][0]
            scores = [round(float(score), 6) for score in found["positional_scores"]]
            runs.append({"type": kind, "topk": max(topk, 0), "scores": scores})
    rows = [model.probabilities[0].gather(1, target[0][:, None])[:, 0] for model in models]
    result = {
        "symbols": symbols[4:],
        "tokens": tokens,
        "temperature": TEMPERATURE,
        "experts": [[round(float(p.log()), 6) for p in row] for row in rows],
        "runs": runs,
    }
    text = json.dumps(result, ensure_ascii=False, indent=1)
    (folder / "ensembles.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
