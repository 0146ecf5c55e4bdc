#!/usr/bin/env python3
"""Writes tests/golden/torch_variants: small files of torch.save with rare features. Needs torch
>= 2.5 (made with 2.8.0).

usage: make_torch_variants.py FOLDER
"""
import pathlib
import sys

import torch


def main(folder: pathlib.Path) -> None:
    complex_numbers = torch.complex(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, -5.0, 6.0]))
    matrix = torch.arange(1, 7, dtype=torch.float32).reshape(2, 3)
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    parameter.note = "kept"
    signs = {
        "neg": torch._neg_view(matrix),
        "neg_t": torch._neg_view(matrix).t(),
        "conj": complex_numbers.conj(),
        "imag": complex_numbers.clone().conj().imag,
        "neg_int": torch._neg_view(torch.tensor([1, -2, 3], dtype=torch.int16)),
        "parameter": parameter,
        "buffer": torch.nn.Buffer(torch.tensor([3.0, 4.0])),
    }
    quantized = torch.quantize_per_tensor(torch.tensor([1.0, 2.0, 3.0]), 0.5, 0, torch.qint8)
    beside = {"model": {"w": torch.tensor([1.0, 2.0])}, "note": quantized}
    for name, value in (("signs_and_attributes", signs), ("quantized_beside", beside)):
        torch.save(value, folder / f"zip_{name}.pt")
        torch.save(value, folder / f"legacy_{name}.pt", _use_new_zipfile_serialization=False)
    for name, value in (
        ("quantized", quantized),
        ("sparse", torch.eye(2).to_sparse()),
        ("float8", torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn)),
    ):
        torch.save({"model": {"w": value}}, folder / f"zip_{name}.pt")
    for protocol in (1, 4, 5):  # torch cannot read its own files of protocol 0
        torch.save(
            {"w": torch.tensor([1.0, 2.0])},
            folder / f"legacy_protocol{protocol}.pt",
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=False,
        )
    torch.serialization.set_crc32_options(False)
    torch.save({"w": torch.tensor([1.0, 2.0])}, folder / "zip_without_crc.pt")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip().splitlines()[-1])
    main(pathlib.Path(sys.argv[1]))
