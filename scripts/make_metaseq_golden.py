#!/usr/bin/env python3
"""Writes tests/golden/metaseq: small OPT models of random weights in the layouts of metaseq's
files, and their losses by transformers.

The layouts are those of compat/checkpoint/metaseq.md. Needs torch, omegaconf and transformers 4.57:
  PYTHONPATH=~/.cache/btm/transformers-4.57.3 $(scripts/fairseq-env)/bin/python \\
    scripts/make_metaseq_golden.py tests/golden/hf_import/data/test.bin tests/golden/metaseq
usage: make_metaseq_golden.py IDS.bin FOLDER
"""
import argparse
import json
import pathlib
import sys

import numpy as np
import torch
import transformers

HEADS, LAYERS = 4, 2


def opt_model(seed, **settings):
    """transformers' OPT with weights of deviation 0.3."""
    torch.manual_seed(seed)
    # 64 = dict.txt of 60 symbols and four others; metaseq pads its vocabulary to a multiple of 8.
    model = transformers.OPTForCausalLM(
        transformers.OPTConfig(
            vocab_size=64,
            hidden_size=16,
            num_hidden_layers=LAYERS,
            ffn_dim=32,
            max_position_embeddings=32,
            num_attention_heads=HEADS,
            **settings,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter) + (parameter.dim() == 1) * 0.5)
    model.tie_weights()
    return model


def loss_of(model, ids):
    """The mean loss in bits, with fp32 logits; the first input is </s>."""
    given = torch.tensor([[2] + ids[:-1]])
    with torch.no_grad():
        logits = model(given, attention_mask=torch.ones_like(given)).logits[0]
    scores = torch.log_softmax(logits.double(), -1).gather(1, torch.tensor(ids)[:, None])
    return -scores.mean().item() / np.log(2)


def unfused(model):
    """The weights under metaseq's names, with a projection for each of k, v and q."""
    state = {}
    for name, value in model.model.state_dict().items():
        name = name.replace("decoder.final_layer_norm", "decoder.layer_norm")
        name = name.replace("project_in.", "project_in_dim.")
        state[name.replace("project_out.", "project_out_dim.")] = value.clone()
    state["decoder.version"] = torch.tensor([3.0])
    return state


def fused(state):
    """The projections as one, in the order k, v, q."""
    out = {}
    for name, value in state.items():
        if ".k_proj." in name:
            rows = [state[name.replace("k_proj", part)] for part in ("k_proj", "v_proj", "q_proj")]
            out[name.replace("k_proj", "qkv_proj")] = torch.cat(rows)
        elif ".v_proj." not in name and ".q_proj." not in name:
            out[name] = value
    return out


def parts_of(state, count):
    """The parts of model parallelism: columns of fc2 and out_proj, rows of the others."""
    parts = [{} for _ in range(count)]
    for name, value in state.items():
        if ".qkv_proj." in name:
            thirds = [third.chunk(count) for third in value.chunk(3)]
            pieces = [torch.cat([third[i] for third in thirds]) for i in range(count)]
        elif any(part in name for part in ("embed_tokens", ".fc1.")):
            pieces = value.chunk(count)
        elif name.endswith((".fc2.weight", ".out_proj.weight")):
            pieces = value.chunk(count, dim=1)
        else:
            pieces = [value] * count
        for part, piece in zip(parts, pieces):
            part[name] = piece.clone()
    return parts


def flattened(state, shards):
    """FSDP's shards: one flat parameter for each layer and one for the rest, as fairscale's."""
    groups = {f"decoder.layers.{i}": {} for i in range(LAYERS)}
    groups[""] = {}
    for name, value in state.items():
        if name == "decoder.version":
            continue
        path = ".".join(name.split(".")[:3])
        inner = name[len(path) + 1 :] if path in groups else name
        groups[path if path in groups else ""][inner] = value
    models, metadata = [{} for _ in range(shards)], [[] for _ in range(shards)]
    for path, values in groups.items():
        flat = torch.cat([value.reshape(-1) for value in values.values()])
        size = -(-flat.numel() // shards)
        key = f"{path}.flat_param_0" if path else "flat_param_0"
        for i in range(shards):
            piece = flat[i * size : (i + 1) * size]
            padding = size - piece.numel()
            models[i][key] = torch.nn.functional.pad(piece, [0, padding])
            info = {
                "names": list(values),
                "shapes": [value.shape for value in values.values()],
                "numels": [value.numel() for value in values.values()],
                "padding": padding,
            }
            metadata[i].append(
                {
                    "fsdp_path": path,
                    "params": {"flat_param_0": info},
                    "no_broadcast_optim_state": False,
                    "shared_param_info": [],
                }
            )
    for model in models:
        model["decoder.version"] = state["decoder.version"].clone()
    return [
        (model, {"param_metadata": entries, "buffer_names": ["decoder.version"]})
        for model, entries in zip(models, metadata)
    ]


def configuration(namespace, **settings):
    """cfg as metaseq writes it: plain sections, the model's often an argparse.Namespace."""
    model = {
        "arch": "transformer_lm_megatron",
        "activation_fn": "relu",
        "dropout": 0.1,
        "attention_dropout": 0.0,
        "decoder_attention_heads": HEADS,
        "decoder_layers": LAYERS,
        "decoder_learned_pos": True,
        "decoder_learned_sinusoidal": False,
        "no_scale_embedding": True,
        "share_decoder_input_output_embed": True,
        "alibi": False,
        "self_attn_doc_sep": -1,
        "full_megatron_init": True,
        "tensor_parallel_init_model_on_gpu": True,
        "tokens_per_sample": 32,
        "max_target_positions": 32,
        **settings,
    }
    return {
        "common": {"seed": 1, "model_parallel_size": 2},
        "task": {"_name": "streaming_language_modeling", "tokens_per_sample": 32},
        "model": argparse.Namespace(**model)
        if namespace
        else {"_name": "transformer_lm_gpt", **model},
    }


def save(path, model, cfg, metadata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    root = {
        "args": None,
        "cfg": cfg,
        "model": model,
        "optimizer_history": [{"num_updates": 7}],
        "extra_state": {"train_iterator": {"epoch": 1}},
    }
    torch.save({**root, "shard_metadata": metadata} if metadata else root, path)


def main(ids_file, folder):
    ids = np.fromfile(ids_file, dtype=np.uint16).astype(np.int64).tolist()
    opt = opt_model(31)
    projected = opt_model(32, word_embed_proj_dim=8, do_layer_norm_before=False)
    state = fused(unfused(opt))
    # c-BTM's consolidated files: a projection each, a plain cfg, halves.
    half = {name: value.half() for name, value in unfused(opt).items()}
    save(folder / "consolidated" / "consolidated.pt", half, configuration(False))
    save(folder / "fused" / "restored.pt", state, configuration(True))
    for i, part in enumerate(parts_of(state, 2)):
        save(folder / "parts" / f"reshard-model_part-{i}.pt", part, configuration(True))
        for j, (model, metadata) in enumerate(flattened(part, 2)):
            name = f"checkpoint_last-model_part-{i}-shard{j}.pt"
            save(folder / "flat_parts" / name, model, configuration(True), metadata)
    for j, (model, metadata) in enumerate(flattened(state, 3)):
        save(folder / "flat" / f"model-shard{j}.pt", model, configuration(True), metadata)
    # OPT-350m: norms behind, a narrower embedding.
    save(
        folder / "projected" / "reshard.pt",
        fused(unfused(projected)),
        configuration(True, decoder_normalize_before=False, decoder_output_dim=8),
    )
    losses = {"fused": loss_of(opt, ids), "projected": loss_of(projected, ids)}
    losses["consolidated"] = loss_of(opt.half().float(), ids)
    (folder / "expected.json").write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip().splitlines()[-1])
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
