#!/usr/bin/env python3
"""Writes a checkpoint of a GPT-3 shaped model and a data-bin for it. Needs only the standard
library.

    tests/bench/make_model.py --arch transformer_lm_gpt3_xl --dtype float16 --optimizer --out DIR

DIR/checkpoint_last.pt has fairseq's format (torch's zip container, cfg as a dict, with --optimizer
Adam's fp32 moments per parameter). The weights repeat one megabyte of small random numbers, and the
moments are zero (holes in the file).
DIR/data-bin has dict.txt and splits of random ids.
"""
import argparse
import collections
import pathlib
import pickle
import random
import struct
import sys
import types
import zlib

ARCHITECTURES = {  # layers, width, heads
    "transformer_lm_gpt3_small": (12, 768, 12),
    "transformer_lm_gpt3_medium": (24, 1024, 16),
    "transformer_lm_gpt3_large": (24, 1536, 16),
    "transformer_lm_gpt3_xl": (24, 2048, 32),
}
CHUNK = 1 << 20
ZEROS = bytes(CHUNK)


def parameters(layers, width, vocabulary, positions):
    """(name, shape) in the order of fairseq's state dict."""
    yield "decoder.version", (1,)
    yield "decoder.embed_tokens.weight", (vocabulary, width)
    yield "decoder.embed_positions.weight", (positions + 2, width)
    for layer in range(layers):
        prefix = f"decoder.layers.{layer}."
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield f"{prefix}self_attn.{name}.weight", (width, width)
            yield f"{prefix}self_attn.{name}.bias", (width,)
        for name, shape in (
            ("self_attn_layer_norm", (width,)),
            ("fc1", (4 * width, width)),
            ("fc2", (width, 4 * width)),
            ("final_layer_norm", (width,)),
        ):
            yield f"{prefix}{name}.weight", shape
            yield f"{prefix}{name}.bias", shape[:1]
    yield "decoder.layer_norm.weight", (width,)
    yield "decoder.layer_norm.bias", (width,)
    yield "decoder.output_projection.weight", (vocabulary, width)


def numel(shape):
    count = 1
    for size in shape:
        count *= size
    return count


class Storage:
    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count


class Tensor:
    """Pickles like a tensor of torch: _rebuild_tensor_v2 over a persistent id."""

    def __init__(self, storage, shape):
        self.storage, self.shape = storage, shape

    def __reduce__(self):
        stride, step = [], 1
        for size in reversed(self.shape):
            stride.insert(0, step)
            step *= size
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (
            self.storage,
            0,
            self.shape,
            tuple(stride),
            False,
            collections.OrderedDict(),
        )


def fake_torch():
    """Modules with only the names that a checkpoint's pickle refers to."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*_):
        raise NotImplementedError

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch._utils = utils
    sys.modules["torch"], sys.modules["torch._utils"] = torch, utils
    return torch


class Pickler(pickle._Pickler):
    def persistent_id(self, value):
        return (
            ("storage", value.kind, value.key, "cpu", value.count)
            if isinstance(value, Storage)
            else None
        )


class Zip:
    """Stored entries with zip64 fields and data at multiples of 64, as torch's writer lays them
    out."""

    def __init__(self, path):
        self.file, self.entries = open(path, "wb"), []

    def add(self, name, size, chunks):
        name = b"archive/" + name.encode()
        offset = self.file.tell()
        zip64 = struct.pack("<HHQQ", 1, 16, size, size)
        room = offset + 30 + len(name) + len(zip64) + 4
        padding = -room % 64
        extra = zip64 + struct.pack("<HH", 0x4246, padding) + b"Z" * padding
        self.file.write(bytes(30) + name + extra)
        crc = 0
        for chunk in chunks:
            crc = zlib.crc32(chunk, crc)
            if chunk is ZEROS:
                self.file.seek(len(chunk), 1)  # a hole
            else:
                self.file.write(chunk)
        end = self.file.tell()
        self.file.seek(offset)
        self.file.write(
            struct.pack(
                "<4s5H3I2H",
                b"PK\3\4",
                45,
                0,
                0,
                0,
                0,
                crc,
                2**32 - 1,
                2**32 - 1,
                len(name),
                len(extra),
            )
        )
        self.file.seek(end)
        self.entries.append((name, crc, size, offset))

    def close(self):
        start = self.file.tell()
        for name, crc, size, offset in self.entries:
            extra = struct.pack("<HHQQQ", 1, 24, size, size, offset)
            self.file.write(
                struct.pack(
                    "<4s6H3I5H2I",
                    b"PK\1\2",
                    45,
                    45,
                    0,
                    0,
                    0,
                    0,
                    crc,
                    2**32 - 1,
                    2**32 - 1,
                    len(name),
                    len(extra),
                    0,
                    0,
                    0,
                    0,
                    2**32 - 1,
                )
                + name
                + extra
            )
        size = self.file.tell() - start
        end = self.file.tell()
        count = len(self.entries)
        self.file.write(
            struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
        )
        self.file.write(struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
        self.file.write(
            struct.pack(
                "<4s4H2IH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0
            )
        )
        self.file.close()


STORAGES = {"float16": "HalfStorage", "bfloat16": "BFloat16Storage", "float32": "FloatStorage"}


def packed(dtype, numbers):
    if dtype == "bfloat16":  # the upper half of fp32
        return b"".join(struct.pack("<f", number)[2:] for number in numbers)
    return struct.pack(f"<{len(numbers)}{'e' if dtype == 'float16' else 'f'}", *numbers)


def element_size(dtype):
    return 4 if dtype == "float32" else 2


def weights_chunk(dtype, seed=1):
    """A megabyte of numbers uniform in +-0.04 (a trained layer's scale)."""
    numbers = random.Random(seed)
    count = CHUNK // element_size(dtype)
    return packed(dtype, [numbers.uniform(-0.04, 0.04) for _ in range(count)])


def repeated(chunk, size):
    for start in range(0, size, CHUNK):
        yield chunk if size - start >= CHUNK else chunk[: size - start]


def write_checkpoint(path, args):
    layers, width, heads = (
        given or usual
        for given, usual in zip((args.layers, args.width, args.heads), ARCHITECTURES[args.arch])
    )
    torch = fake_torch()
    half = args.dtype == "float16"
    kind, element = getattr(torch, STORAGES[args.dtype]), element_size(args.dtype)
    storages, chunk = [], weights_chunk(args.dtype, args.seed)
    three = packed(args.dtype, [3.0])

    def tensor(shape, kind, element, fill):
        storage = Storage(kind, str(len(storages)), numel(shape))
        storages.append((storage, storage.count * element, fill))
        return Tensor(storage, shape)

    model, moments = collections.OrderedDict(), {}
    for name, shape in parameters(layers, width, args.vocabulary, args.positions):
        if name.endswith("output_projection.weight"):  # tied
            model[name] = Tensor(model["decoder.embed_tokens.weight"].storage, shape)
            continue
        model[name] = tensor(shape, kind, element, three if name == "decoder.version" else chunk)
    if args.optimizer:
        shapes = [
            t.shape
            for n, t in model.items()
            if n not in ("decoder.version", "decoder.output_projection.weight")
        ]
        for index, shape in enumerate(shapes):
            moments[index] = {
                "step": 100,
                "exp_avg": tensor(shape, torch.FloatStorage, 4, ZEROS),
                "exp_avg_sq": tensor(shape, torch.FloatStorage, 4, ZEROS),
            }
    cfg = {
        "_name": None,
        "common": {"_name": None, "fp16": half, "memory_efficient_fp16": half, "seed": 1},
        "model": {
            "_name": args.arch,
            "activation_fn": "gelu",
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "decoder_embed_dim": width,
            "decoder_output_dim": width,
            "decoder_input_dim": width,
            "decoder_ffn_embed_dim": 4 * width,
            "decoder_layers": layers,
            "decoder_attention_heads": heads,
            "decoder_normalize_before": True,
            "no_decoder_final_norm": False,
            "adaptive_softmax_cutoff": None,
            "share_decoder_input_output_embed": True,
            "decoder_learned_pos": True,
            "no_scale_embedding": False,
            "tokens_per_sample": args.positions,
            "max_target_positions": args.positions,
        },
        "task": {
            "_name": "language_modeling",
            "data": "data-bin",
            "sample_break_mode": "none",
            "tokens_per_sample": args.positions,
            "output_dictionary_size": -1,
            "self_target": False,
            "future_target": False,
            "past_target": False,
            "add_bos_token": False,
            "max_target_positions": None,
        },
        "criterion": {"_name": "cross_entropy"},
    }
    state = {
        "args": None,
        "cfg": cfg,
        "model": model,
        "criterion": None,
        "optimizer_history": [
            {
                "criterion_name": "CrossEntropyCriterion",
                "optimizer_name": "MemoryEfficientFP16Optimizer",
                "lr_scheduler_state": {"best": None},
                "num_updates": 100,
            }
        ],
        "task_state": {},
        "extra_state": {
            "train_iterator": {
                "version": 2,
                "epoch": 1,
                "iterations_in_epoch": 100,
                "shuffle": True,
            },
            "val_loss": None,
        },
        "last_optimizer_state": {
            "state": moments,
            "param_groups": [
                {
                    "lr": 0.0006,
                    "betas": (0.9, 0.95),
                    "eps": 1e-07,
                    "weight_decay": 0.1,
                    "amsgrad": False,
                    "params": list(range(len(moments))),
                }
            ],
            "loss_scale": 128.0,
        }
        if args.optimizer
        else None,
    }
    import io

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(state)
    archive = Zip(path)
    archive.add("data.pkl", buffer.tell(), [buffer.getvalue()])
    for storage, size, fill in storages:
        archive.add(
            f"data/{storage.key}", size, [fill] if size == len(fill) else repeated(fill, size)
        )
    archive.add("version", 2, [b"3\n"])
    archive.close()
    count = sum(numel(t.shape) for n, t in model.items() if "output_projection" not in n)
    print(
        f"{path}: {count:,} parameters, "
        f"{args.dtype}, {len(storages)} storages, {path.stat().st_size / 1e9:.2f} GB"
    )


def write_data_bin(folder, args):
    folder.mkdir(exist_ok=True)
    words = args.vocabulary - 4
    (folder / "dict.txt").write_text("".join(f"w{i} {words - i}\n" for i in range(words)))
    for split in args.splits.split(","):
        write_split(folder / split, args, random.Random(split))


def write_split(prefix, args, numbers):
    sequences, length = args.tokens // 512, 512
    code, pack = (8, "H") if args.vocabulary < 65500 else (4, "i")
    size = struct.calcsize(pack)
    with open(f"{prefix}.bin", "wb") as tokens:
        for _ in range(sequences):
            ids = [numbers.randrange(4, args.vocabulary) for _ in range(length - 1)] + [2]
            tokens.write(struct.pack(f"<{length}{pack}", *ids))
    with open(f"{prefix}.idx", "wb") as index:
        index.write(b"MMIDIDX\0\0" + struct.pack("<QBQ", 1, code, sequences))
        index.write(struct.pack(f"<{sequences}i", *[length] * sequences))
        index.write(struct.pack(f"<{sequences}q", *(i * length * size for i in range(sequences))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", choices=ARCHITECTURES, default="transformer_lm_gpt3_small")
    for name in ("layers", "width", "heads"):
        parser.add_argument(f"--{name}", type=int, help="replaces the architecture's value")
    parser.add_argument("--dtype", choices=sorted(STORAGES), default="float32")
    parser.add_argument("--optimizer", action="store_true", help="add Adam's state in fp32")
    parser.add_argument("--vocabulary", type=int, default=50264)
    parser.add_argument("--positions", type=int, default=1024)
    parser.add_argument(
        "--tokens",
        type=int,
        default=4096,
        help="number of tokens of each split (a multiple of 512)",
    )
    parser.add_argument("--splits", default="test", help="comma-separated splits of the data-bin")
    parser.add_argument("--seed", type=int, default=1, help="seed of the weights")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write_data_bin(args.out / "data-bin", args)
    write_checkpoint(args.out / "checkpoint_last.pt", args)


if __name__ == "__main__":
    main()
