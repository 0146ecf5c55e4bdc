#!/usr/bin/env python3
"""Writes tests/golden/moe_gating: losses of the mixture in tests/golden/moe_ranks under the gates
of fairseq's moe branch, which give an expert a capacity, and a data-bin whose batches have padding.

The gates are the fork's own code, read from FORK, a checkout of kernelmachine/demix. Decoder, data
and batches are fairseq 0.12.2's. Only gates without chance are in expected.json. Needs the
environment of scripts/fairseq-env:
  $(scripts/fairseq-env)/bin/python scripts/make_moe_gating_golden.py FORK tests/golden/moe_gating
usage: make_moe_gating_golden.py FORK FOLDER
"""
import importlib
import json
import math
import pathlib
import random
import sys
import types

import torch
from fairseq.data import Dictionary, indexed_dataset
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from make_moe_ranks_golden import LENGTH, SYMBOLS, build_model

MAX_TOKENS = 200  # a batch
GATES = {
    "top2": {},
    "top2_normalized_first": {"moe_normalize_gate_prob_before_dropping": True},
    "top2_half": {"moe_eval_capacity_token_fraction": 0.5},
    "top2_of_training": {"moe_eval_capacity_token_fraction": -1.0},
    "top1": {"moe_top1_expert": True},
}


def gates_of(fork):
    """top1gate.py and top2gate.py of the fork, without the rest of its package."""
    # The gates count experts for their log, by an operation that a CPU lacks for integers.
    histogram = torch.histc
    torch.histc = lambda values, **bins: histogram(values.float(), **bins)
    package = types.ModuleType("moe")
    package.__path__ = [str(fork / "fairseq" / "modules" / "moe")]
    sys.modules["moe"] = package
    return importlib.import_module("moe.top1gate"), importlib.import_module("moe.top2gate")


class GatedMixture(torch.nn.Module):
    """The mixture of make_moe_ranks_golden.py, with weights from a gate of the fork."""

    def __init__(self, mixture, weigh):
        super().__init__()
        self.mixture, self.weigh = mixture, weigh

    def forward(self, x):
        by_sample = x.transpose(0, 1)  # the fork's order: [B, T, C]
        rows = by_sample.reshape(-1, x.size(-1))
        weights = self.weigh(self.mixture.gate(rows)).sum(-1)  # [S, E, capacity] -> [S, E]
        out = torch.zeros_like(rows)
        for number, expert in enumerate(self.mixture.experts):
            inner = torch.nn.functional.gelu(expert["fc1"](rows).float()).type_as(rows)
            out = out + weights[:, number, None] * expert["fc2"](inner)
        return out.view(by_sample.shape).transpose(0, 1)


def weigher(top1, top2, settings):
    if settings.get("moe_top1_expert"):
        return lambda logits: top1.top1gating(logits, use_fp32=True, eval_mode=True)[1]
    return lambda logits: top2.top2gating(
        logits,
        use_fp32=True,
        eval_mode=True,
        second_expert_policy="all",
        normalize_gate_prob_before_dropping=settings.get(
            "moe_normalize_gate_prob_before_dropping", False
        ),
        moe_eval_capacity_token_fraction=settings.get("moe_eval_capacity_token_fraction", 0.25),
    )[1]


def write_data(folder):
    """60 lines of 2 to 31 symbols."""
    dictionary = Dictionary()
    for number in range(SYMBOLS):
        dictionary.add_symbol(str(number))
    folder.mkdir(parents=True, exist_ok=True)
    dictionary.save(str(folder / "dict.txt"))
    draw = random.Random(43)
    builder = indexed_dataset.make_builder(
        str(folder / "test.bin"), impl="mmap", vocab_size=len(dictionary)
    )
    for _ in range(60):
        line = [draw.randrange(4, 4 + SYMBOLS) for _ in range(draw.randint(1, 30))]
        builder.add_item(torch.tensor([*line, dictionary.eos()]))
    builder.finalize(str(folder / "test.idx"))


def batches_of(folder):
    config = LanguageModelingConfig(
        data=str(folder),
        sample_break_mode="eos",
        tokens_per_sample=LENGTH,
        pad_to_fixed_length=False,
        # What fairseq-eval-lm interpolates from its other flags:
        seed=1,
        batch_size=None,
        batch_size_valid=None,
        dataset_impl=None,
        data_buffer_size=10,
        tpu=False,
        use_plasma_view=False,
        plasma_path="",
    )
    task = LanguageModelingTask.setup_task(config)
    task.load_dataset("test")
    return task.get_batch_iterator(
        task.dataset("test"), max_tokens=MAX_TOKENS, max_positions=LENGTH, seed=1, num_workers=0
    ).next_epoch_itr(shuffle=False)


def loss_of(model, folder):
    """The mean loss in bits, as fairseq-eval-lm scores."""
    total, count = 0.0, 0
    for batch in batches_of(folder):
        with torch.no_grad():
            logits = model(batch["net_input"]["src_tokens"])[0]
        scores = torch.log_softmax(logits.double(), -1).gather(-1, batch["target"][..., None])
        scored = batch["target"].ne(1)
        total -= scores[..., 0][scored].sum().item()
        count += scored.sum().item()
    return total / count / math.log(2)


def main(fork, folder):
    write_data(folder / "data")
    model, mixture = build_model()
    layer = model.decoder.layers[-1]
    gates = gates_of(fork)
    expected = {}
    for name, settings in GATES.items():
        layer.fc1 = GatedMixture(mixture, weigher(*gates, settings))
        overrides = {"model": {"moe_second_expert_policy": "all", **settings}}
        expected[name] = {
            "overrides": repr(overrides),
            "loss_base2": loss_of(model, folder / "data"),
        }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
