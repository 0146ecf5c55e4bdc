"""Writes tests/golden/model_defaults.json: the settings that fairseq's parser gives for --arch and
each flag of the model.

    $(scripts/fairseq-env) scripts/make_model_defaults.py     # fairseq 0.12.2

{ARCH: {FLAGS: {key: value}}}; max_target_positions and activation_dropout as the model takes them.
"""
import json
import logging
import pathlib

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import ARCH_MODEL_INV_REGISTRY

KEYS = [
    "activation_fn",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "decoder_layerdrop",
    "decoder_embed_dim",
    "decoder_output_dim",
    "decoder_input_dim",
    "decoder_ffn_embed_dim",
    "decoder_layers",
    "decoder_attention_heads",
    "max_target_positions",
    "decoder_normalize_before",
    "no_decoder_final_norm",
    "no_token_positional_embeddings",
    "share_decoder_input_output_embed",
    "decoder_learned_pos",
    "layernorm_embedding",
    "no_scale_embedding",
    "checkpoint_activations",
    "adaptive_input",
    "adaptive_input_cutoff",
    "adaptive_input_factor",
    "adaptive_softmax_cutoff",
    "adaptive_softmax_factor",
    "adaptive_softmax_dropout",
    "tie_adaptive_weights",
    "tie_adaptive_proj",
]
GIVEN = [
    "",
    "--decoder-embed-dim 2400",
    "--decoder-output-dim 96 --decoder-input-dim 96",
    "--relu-dropout 0.25 --tokens-per-sample 99",
    "--activation-fn tanh --dropout 0.25 --attention-dropout 0.375 --activation-dropout 0.5 "
    "--relu-dropout 0.25 --decoder-layerdrop 0.125 "
    "--decoder-embed-dim 2400 --decoder-output-dim 96 --decoder-input-dim 96 "
    "--decoder-ffn-embed-dim 80 --decoder-layers 3 "
    "--decoder-attention-heads 2 --max-target-positions 77 --tokens-per-sample 99 "
    "--decoder-normalize-before --no-decoder-final-norm "
    "--no-token-positional-embeddings --share-decoder-input-output-embed --decoder-learned-pos "
    "--layernorm-embedding "
    "--no-scale-embedding --checkpoint-activations",
    "--adaptive-input --adaptive-input-cutoff 100,200 --adaptive-softmax-cutoff 100,200 "
    "--adaptive-input-factor 2 --adaptive-softmax-factor 2 --adaptive-softmax-dropout 0.25 "
    "--tie-adaptive-weights --tie-adaptive-proj --decoder-embed-dim 512",
]


def settings(arch, flags):
    args = options.parse_args_and_arch(
        options.get_training_parser(),
        ["data", "--task", "language_modeling", "--arch", arch, *flags],
    )
    cfg = convert_namespace_to_omegaconf(args)
    found = {key: cfg.model[key] for key in KEYS}
    found["activation_dropout"] = found["activation_dropout"] or cfg.model.relu_dropout or 0.0
    found["max_target_positions"] = found["max_target_positions"] or cfg.model.tokens_per_sample
    return found


def main():
    logging.disable(logging.WARNING)
    table = {}
    for arch in ["transformer_lm", *ARCH_MODEL_INV_REGISTRY["transformer_lm"]]:
        if arch in table:
            continue
        table[arch] = {flags: settings(arch, flags.split()) for flags in GIVEN}
    path = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/model_defaults.json"
    rows = [
        f"{json.dumps(arch)}: {{\n"
        + ",\n".join(
            f"  {json.dumps(flag)}: {json.dumps(values)}" for flag, values in flags.items()
        )
        + "}"
        for arch, flags in table.items()
    ]
    path.write_text("{\n" + ",\n".join(rows) + "}\n")


if __name__ == "__main__":
    main()
