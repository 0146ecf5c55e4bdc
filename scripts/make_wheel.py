#!/usr/bin/env python3
"""Packs an installed tree of btm (cmake --install) as a wheel for pip. scripts/package calls it."""
import argparse
import base64
import hashlib
import pathlib
import re
import sysconfig
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Finds torch without importing it, which would take seconds. btm's run path finds a torch in the
# same site-packages; a torch elsewhere (a user's, say) is found through LD_LIBRARY_PATH.
ENTRY = '''"""Runs the programs btm and btm-convert."""
import importlib.util
import os
import pathlib
import sys

_HERE = pathlib.Path(__file__).resolve().parent


def _run(program):
    environment = dict(os.environ)
    if program == "btm":
        torch = importlib.util.find_spec("torch")
        if torch is None or not torch.submodule_search_locations:
            sys.exit("btm: error: there is no Python package torch (pip install torch==%s)")
        folder = pathlib.Path(torch.submodule_search_locations[0]) / "lib"
        if folder.resolve() != (_HERE.parent / "torch" / "lib").resolve():
            paths = [str(folder), environment.get("LD_LIBRARY_PATH", "")]
            environment["LD_LIBRARY_PATH"] = ":".join(p for p in paths if p)
    path = _HERE / "bin" / program
    os.execve(path, [program, *sys.argv[1:]], environment)


def btm():
    _run("btm")


def btm_convert():
    _run("btm-convert")
'''

METADATA = """Metadata-Version: 2.1
Name: btm-lm
Version: {version}
Summary: Branch-Train-Merge language modelling: train, combine and use expert language models
License: MIT
Requires-Python: >=3.9
Requires-Dist: torch=={torch}
Classifier: License :: OSI Approved :: MIT License
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: C++
Description-Content-Type: text/markdown

"""


def version():
    return re.search(r"project\(btm VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def torch_version():
    return re.search(r"^torch==(\S+)", (ROOT / "scripts/libtorch.txt").read_text(), re.M).group(1)


def files_of(tree):
    """(name in the wheel, bytes, whether it is a program)"""
    for program in ("btm", "btm-convert"):
        yield f"btm_lm/bin/{program}", (tree / "bin" / program).read_bytes(), True
    for path in sorted((tree / "share/btm").rglob("*")):
        if path.is_file():
            name = f"btm_lm/share/btm/{path.relative_to(tree / 'share/btm')}"
            yield name, path.read_bytes(), bool(path.stat().st_mode & 0o100)
    for name in ("LICENCES.txt", "btm.spdx.json"):
        yield f"btm_lm/share/doc/{name}", (tree / "share/doc/btm" / name).read_bytes(), False
    for path in sorted((tree / "licences").glob("*.txt")):  # of what auditwheel copies
        yield f"btm_lm/share/doc/licences/{path.name}", path.read_bytes(), False
    yield "btm_lm/__init__.py", (ENTRY % torch_version()).encode(), False
    yield "btm_lm/__main__.py", b"from btm_lm import btm\n\nbtm()\n", False


def write_wheel(tree, output):
    info = f"btm_lm-{version()}.dist-info"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    tag = f"py3-none-{platform}"
    files = list(files_of(tree))
    metadata = METADATA.format(version=version(), torch=torch_version())
    files += [
        (f"{info}/METADATA", (metadata + (ROOT / "README.md").read_text()).encode(), False),
        (
            f"{info}/WHEEL",
            f"Wheel-Version: 1.0\nGenerator: btm\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
            False,
        ),
        (
            f"{info}/entry_points.txt",
            b"[console_scripts]\nbtm = btm_lm:btm\nbtm-convert = btm_lm:btm_convert\n",
            False,
        ),
        (f"{info}/LICENSE", (ROOT / "LICENSE").read_bytes(), False),
    ]
    record = ""
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"btm_lm-{version()}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data, program in files:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(data)}\n"
            add(wheel, name, data, program)
        add(wheel, f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode(), False)
    return path


def add(wheel, name, data, program):
    entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    entry.external_attr = (0o100755 if program else 0o100644) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    wheel.writestr(entry, data)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=pathlib.Path, required=True, help="the installed tree")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder of the wheel")
    arguments = parser.parse_args()
    print(write_wheel(arguments.tree, arguments.output))


if __name__ == "__main__":
    main()
