"""btm-convert inspect."""
import json
import os
import struct

from case import Case

DICT = "{golden}/data-bin/dict.txt"
CHECKPOINT = "{golden}/checkpoints/demix_fork/dense/checkpoint_last.pt"
INSPECT = ["btm-convert", "inspect"]


def fifo(folder):
    os.mkfifo(folder / "pipe")


def unreadable(folder):
    (folder / "secret.pt").write_bytes(b"PK\x03\x04")
    (folder / "secret.pt").chmod(0)


def unreadable_folder(folder):
    (folder / "outer" / "secret").mkdir(parents=True)
    (folder / "outer" / "dict.txt").write_text("a 1\n")
    (folder / "outer" / "secret").chmod(0)


def cut(folder):
    (folder / "cut.pt").write_bytes(b"PK\x03\x04" + bytes(100))


def empty(folder):
    (folder / "empty.pt").write_bytes(b"")


def names(*tensors):
    """Writes named.safetensors with a number under each of these names."""

    def setup(folder):
        header = json.dumps(
            {
                name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
                for i, name in enumerate(tensors)
            }
        ).encode()
        (folder / "named.safetensors").write_bytes(
            struct.pack("<Q", len(header)) + header + bytes(4 * len(tensors))
        )

    return setup


CASES = [
    Case(
        "parameters that FSDP flattened",
        INSPECT + ["named.safetensors"],
        setup=names("decoder.layers.0.flat_param_0"),
        stdout=["that FSDP flattened ('decoder.layers.0.flat_param_0')"],
    ),
    Case(
        "fused projections",
        INSPECT + ["named.safetensors", "--json"],
        setup=names("decoder.layers.0.self_attn.qkv_proj.weight"),
        stdout=['"foreign_form": "holds fused projections'],
    ),
    Case(
        "a wrapper's names",
        INSPECT + ["named.safetensors"],
        setup=names("module.a", "module.b"),
        stdout=["names begin with 'module.'"],
    ),
    Case(
        "names of no form",
        INSPECT + ["named.safetensors", "--json"],
        setup=names("a", "module.b"),
        stdout=['"tensors"'],
        never=["foreign_form"],
    ),
    *[
        Case(
            f"verify of {name}, without checksums",
            ["btm-convert", "verify", "{golden}/torch_variants/" + name + ".pt"],
            stdout=["ok ", "the file has no checksums"],
        )
        for name in ("zip_without_crc", "legacy_protocol4")
    ],
    Case(
        "verify of checksums",
        ["btm-convert", "verify", CHECKPOINT],
        stdout=["ok ", "all finite"],
        never=["no checksums"],
    ),
    Case("a dictionary", INSPECT + [DICT], stdout=["dictionary", "2112 symbols"]),
    Case(
        "a checkpoint",
        INSPECT + [CHECKPOINT],
        stdout=["zip layout", "29,377 parameters", "tensors (--tensors lists them)"],
    ),
    Case(
        "a checkpoint's tensors",
        INSPECT + [CHECKPOINT, "--tensors"],
        stdout=["29,377 parameters", "decoder.embed_tokens.weight"],
    ),
    Case(
        "a folder of nothing",
        INSPECT + ["."],
        1,
        stderr=["contains no dictionary, data set or model"],
    ),
    Case(
        "a split by its prefix",
        INSPECT + ["{golden}/data-bin/fortunes/valid_fortunes"],
        stdout=["mmap (uint16), 137 sequences, 9533 tokens"],
    ),
    Case(
        "a split by its index",
        INSPECT + ["{golden}/data-bin/fortunes/valid_fortunes.idx"],
        stdout=["137 sequences"],
    ),
    Case(
        "flags before and after the path",
        INSPECT + ["--json", DICT, "--hash"],
        stdout=['"kind": "dictionary"'],
    ),
    Case("a repeated flag", INSPECT + ["--json", DICT, "--json"], stdout=['"kind": "dictionary"']),
    Case("no path", INSPECT, 2, stderr=["btm-convert inspect: error: missing PATH"]),
    Case("two paths", INSPECT + [DICT, DICT], 2, stderr=["unexpected argument"]),
    Case(
        "a mistyped flag",
        INSPECT + ["--jsn", DICT],
        2,
        stderr=["unknown flag '--jsn', did you mean --json?"],
    ),
    Case(
        "an abbreviated flag",
        INSPECT + ["--js", DICT],
        2,
        stderr=["unknown flag '--js', did you mean --json?"],
    ),
    Case(
        "a flag that resembles none",
        INSPECT + ["--xyzzyplugh", DICT],
        2,
        stderr=["unknown flag '--xyzzyplugh' (see --help)"],
    ),
    Case(
        "a value for a flag that takes none",
        INSPECT + ["--json=1", DICT],
        2,
        stderr=["flag --json takes no value"],
    ),
    Case(
        "a path that is not there",
        INSPECT + ["nothing.pt"],
        1,
        stderr=["nothing.pt: no such file or folder"],
    ),
    Case("an empty path", INSPECT + [""], 1, stderr=["no such file or folder"]),
    Case(
        "a path of control characters", INSPECT + ["\x1b[2J"], 1, stderr=["\\x1b[2J: no such file"]
    ),
    Case(
        "a FIFO",
        INSPECT + ["pipe"],
        1,
        setup=fifo,
        stderr=["pipe: is a FIFO, expected a regular file"],
    ),
    Case(
        "a device",
        INSPECT + ["/dev/zero"],
        1,
        stderr=["/dev/zero: is a device, expected a regular file"],
    ),
    Case(
        "an unreadable file",
        INSPECT + ["secret.pt"],
        1,
        setup=unreadable,
        unprivileged=True,
        stderr=["secret.pt: cannot open: Permission denied"],
    ),
    Case(
        "a folder with an unreadable folder inside",
        INSPECT + ["outer"],
        setup=unreadable_folder,
        unprivileged=True,
        stdout=["5 symbols", "outer/secret", "Permission denied"],
    ),
    Case(
        "a damaged file",
        INSPECT + ["cut.pt"],
        1,
        setup=cut,
        stderr=["cut.pt", "no end record of a zip archive"],
    ),
    Case(
        "an empty file",
        INSPECT + ["empty.pt"],
        1,
        setup=empty,
        stderr=["empty.pt: is empty, expected a file of torch.save"],
    ),
    Case(
        "standard output on a full disk",
        INSPECT + [DICT],
        1,
        stdout_to="/dev/full",
        stderr=["btm-convert inspect: error: standard output: cannot write"],
    ),
    Case(
        "a closed standard output",
        INSPECT + [DICT],
        1,
        stdout_to="closed",
        stderr=["standard output: cannot write"],
    ),
]
