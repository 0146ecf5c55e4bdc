#!/usr/bin/env python3
"""Writes tests/golden/moe_ranks: a mixture of experts of random weights in the files of fairseq's
moe branch (compat/checkpoint/moe_ranks.md), two ranks with two experts each and the shared part.

expected.json has the model's losses on the data, with top-2 and with top-1 gates. The decoder is
fairseq 0.12.2's; the feed-forward half of its last layer is the mixture below, which drops no token
and draws nothing at random. Needs the environment of scripts/fairseq-env:
  $(scripts/fairseq-env)/bin/python scripts/make_moe_ranks_golden.py \\
    tests/golden/hf_import/data/test.bin tests/golden/moe_ranks
usage: make_moe_ranks_golden.py IDS.bin FOLDER
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import torch
from fairseq.data import Dictionary
from fairseq.models.transformer_lm import TransformerLanguageModel, transformer_lm_big
from fairseq.tasks.language_modeling import LanguageModelingTask
from omegaconf import OmegaConf

SYMBOLS, WIDTH, HIDDEN, LAYERS, EXPERTS, RANKS, LENGTH = 60, 16, 32, 2, 4, 2, 32
SETTINGS = {
    "_name": "transformer_lm_gpt3_small",
    "activation_fn": "gelu",
    "decoder_attention_heads": 2,
    "decoder_embed_dim": WIDTH,
    "decoder_input_dim": WIDTH,
    "decoder_output_dim": WIDTH,
    "decoder_ffn_embed_dim": HIDDEN,
    "decoder_layers": LAYERS,
    "decoder_learned_pos": True,
    "decoder_normalize_before": True,
    "share_decoder_input_output_embed": True,
    "no_scale_embedding": True,
    "tokens_per_sample": LENGTH,
    "max_target_positions": LENGTH,
    "dropout": 0.1,
}
MOE = {
    "moe_freq": LAYERS,  # the last layer alone
    "moe_expert_count": EXPERTS,
    "moe_top1_expert": False,
    "moe_gating_use_fp32": True,
    "moe_second_expert_policy": "sampling",
    "moe_normalize_gate_prob_before_dropping": False,
    "moe_expert_ffn_dim": None,
}


class Mixture(torch.nn.Module):
    """The weighted sum of the best experts of each token."""

    def __init__(self):
        super().__init__()
        self.gate = torch.nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = torch.nn.ModuleList(
            torch.nn.ModuleDict(
                {"fc1": torch.nn.Linear(WIDTH, HIDDEN), "fc2": torch.nn.Linear(HIDDEN, WIDTH)}
            )
            for _ in range(EXPERTS)
        )
        self.best = 2

    def forward(self, x):
        shares = torch.softmax(self.gate(x).float(), -1)
        weights, chosen = shares.topk(self.best, -1)
        if self.best > 1:
            weights = weights / weights.sum(-1, keepdim=True)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            weight = (weights * (chosen == number)).sum(-1, keepdim=True)
            inner = torch.nn.functional.gelu(expert["fc1"](x).float()).type_as(x)
            out = out + weight * expert["fc2"](inner)
        return out


def build_model():
    torch.manual_seed(41)
    dictionary = Dictionary()
    for number in range(SYMBOLS):
        dictionary.add_symbol(str(number))
    args = argparse.Namespace(**SETTINGS, add_bos_token=False)
    transformer_lm_big(args)  # fills in what SETTINGS leaves out
    model = TransformerLanguageModel.build_model(
        args, LanguageModelingTask(args, dictionary, dictionary)
    ).eval()
    layer = model.decoder.layers[-1]
    # The layer computes fc2(activation(fc1(x))).
    layer.fc1, layer.fc2, layer.activation_fn = Mixture(), torch.nn.Identity(), lambda x: x
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter) + (parameter.dim() == 1) * 0.5)
    return model, layer.fc1


def loss_of(model, ids):
    """The mean loss in bits over samples of LENGTH tokens; the first input is </s>."""
    losses = []
    given = [2] + ids[:-1]
    for start in range(0, len(ids), LENGTH):
        with torch.no_grad():
            logits = model(torch.tensor([given[start : start + LENGTH]]))[0][0]
        targets = torch.tensor(ids[start : start + LENGTH])[:, None]
        losses += torch.log_softmax(logits.double(), -1).gather(1, targets)[:, 0].tolist()
    return -sum(losses) / len(losses) / np.log(2)


def parts_of(model):
    """The shared tensors, and those of each rank, in the order of the model."""
    shared, ranks = {}, [{} for _ in range(RANKS)]
    for name, value in model.state_dict().items():
        at = f"decoder.layers.{LAYERS - 1}."
        name = name.replace(at + "fc1.gate.", at + "moe_layer.gate.wg.")
        name = name.replace(at + "fc1.experts.", at + "moe_layer.experts.")
        if ".experts." not in name:
            shared[name] = value
            continue
        before, after = name.split(".experts.")
        number, part = after.split(".", 1)
        rank, own = divmod(int(number), EXPERTS // RANKS)
        ranks[rank][f"{before}.experts.{own}.{part}"] = value
    return shared, ranks


def save(path, model, rank):
    cfg = OmegaConf.create(
        {
            "common": {"seed": 1, "fp16": False},
            "task": {"_name": "language_modeling", "tokens_per_sample": LENGTH},
            "checkpoint": {"checkpoint_suffix": f"-rank-{rank}"},
            "model": {**SETTINGS, **MOE},
        }
    )
    history = {"criterion_name": "MoECriterion", "optimizer_name": "FairseqAdam"}
    torch.save(
        {
            "cfg": cfg,
            "args": None,
            "model": model,
            "optimizer_history": [{**history, "lr_scheduler_state": {}, "num_updates": 7}],
            "extra_state": {"train_iterator": {"epoch": 1}},
            "last_optimizer_state": {"param_groups": [], "state": {}},
        },
        path,
    )


def main(ids_file, folder):
    ids = np.fromfile(ids_file, dtype=np.uint16).astype(np.int64).tolist()
    model, mixture = build_model()
    folder.mkdir(parents=True, exist_ok=True)
    shared, ranks = parts_of(model)
    save(folder / "checkpoint_last-shared.pt", shared, 0)
    for rank, tensors in enumerate(ranks):
        save(folder / f"checkpoint_last-rank-{rank}.pt", tensors, rank)
    losses = {"top2": loss_of(model, ids)}
    mixture.best = 1
    losses["top1"] = loss_of(model, ids)
    (folder / "expected.json").write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
