#!/usr/bin/env python3
"""Writes tests/golden/generate/product.json: what a product of experts says of texts.

    $(scripts/fairseq-env) scripts/make_product_golden.py tests/golden     # fairseq 0.12.2

fairseq's models give each expert's distribution over the vocabulary, in fp32. The rest is
computed here in fp64: the weights w_e of a token, and log p = sum_e w_e log p_e, normalised.
A row has the score of each token of a text, and the most probable tokens after it at temperature T.
"""
import json
import pathlib
import sys

import numpy
import torch
from fairseq.models.transformer_lm import TransformerLanguageModel

EXPERTS = [f"checkpoints/elm_{name}" for name in ("fortunes", "jargon", "perl", "politics")]
PRIOR = [0.4, 0.3, 0.2, 0.1]
BEST, TEMPERATURES = 5, (1, 0.5)
EOS = 2


def distributions(model, tokens):
    """[T, V] log-probabilities of what follows each token."""
    with torch.no_grad():
        logits, _ = model(torch.tensor([tokens]))
    return torch.log_softmax(logits[0].double(), -1).numpy()


def normalised(logs):
    return logs - logs.max() - numpy.log(numpy.exp(logs - logs.max()).sum())


def product(models, tokens, rule):
    """[T, V] of the mixture. Rule "none": the prior at every token. "full": Bayes over the text."""
    experts = numpy.stack([distributions(model, tokens) for model in models])  # [E, T, V]
    rows = []
    evidence = numpy.log(PRIOR)
    for t in range(len(tokens)):
        if rule == "full" and t > 0:
            evidence = evidence + experts[:, t - 1, tokens[t]]
        weights = numpy.exp(evidence - evidence.max())
        rows.append(normalised((weights / weights.sum()) @ experts[:, t]))
    return numpy.stack(rows)


def main(golden):
    torch.set_num_threads(1)
    hubs = [
        TransformerLanguageModel.from_pretrained(
            str(golden / expert), "checkpoint_last.pt", str(golden / "data-bin/perl")
        ).eval()
        for expert in EXPERTS
    ]
    models = [hub.models[0] for hub in hubs]
    texts = []
    for domain in ("fortunes", "perl"):
        pieces = (golden / f"corpus/{domain}/test.spm").read_text().splitlines()
        texts.append(next(line for line in pieces if 60 < len(line) < 160))
    rows = []
    for text in texts:
        tokens = hubs[0].encode(text).tolist()[:-1]
        for rule in ("none", "full"):
            logs = product(models, [EOS, *tokens], rule)
            best = []
            for temperature in TEMPERATURES:
                last = normalised(logs[-1] / temperature)
                order = numpy.argsort(-last)[:BEST]
                best.append([[int(token), round(float(last[token]), 6)] for token in order])
            rows.append(
                {
                    "rule": rule,
                    "tokens": tokens,
                    "scores": [round(float(logs[t, token]), 6) for t, token in enumerate(tokens)],
                    "best": best,
                }
            )
    result = {"models": [f"{e}/checkpoint_last.pt" for e in EXPERTS], "prior": PRIOR}
    result |= {"temperatures": TEMPERATURES, "rows": rows}
    (golden / "generate/product.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_product_golden.py tests/golden")
    main(pathlib.Path(sys.argv[1]))
