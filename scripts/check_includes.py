#!/usr/bin/env python3
"""Checks that #include lines follow the order of the folders. Exit 1 with a line per violation."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The rooms of compat in their order. Each may include itself and the rooms named here.
BASE = {"compat/base"}
IO = BASE | {"compat/io"}
PROGRAM = IO | {"compat/program"}
TORCH = IO | {"compat/torch"}
FAIRSEQ = TORCH | {"compat/fairseq"}
HUGGING_FACE = FAIRSEQ | {"compat/huggingface"}
COMPAT = HUGGING_FACE | PROGRAM | {"compat/checkpoint", "compat/tokenizer"}
# The folders of btm. All of them may include compat.
MODEL_AND_DATA = {"btm/model", "btm/data"}
EVALUATOR = MODEL_AND_DATA | {"btm/evaluator"}
# For each folder, the other folders of the project that its files may include.
ALLOWED = {
    "compat/base": set(),
    "compat/io": BASE,
    "compat/program": IO,
    "compat/torch": IO,
    "compat/fairseq": TORCH,
    "compat/huggingface": FAIRSEQ,
    "compat/checkpoint": HUGGING_FACE,
    "compat/tokenizer": FAIRSEQ | PROGRAM,
    "converters": COMPAT,
    "btm/data": COMPAT,
    "btm/mixing": COMPAT | {"btm/model"},
    "btm/machine": COMPAT,
    "btm/model": COMPAT,
    "btm/evaluator": COMPAT | MODEL_AND_DATA | {"btm/mixing"},
    "btm/distributed": COMPAT,
    "btm/trainer": COMPAT | EVALUATOR | {"btm/distributed"},
    "btm/cluster": COMPAT,
    "btm/ensemble": COMPAT
    | EVALUATOR
    | {"btm/cluster", "btm/distributed", "btm/mixing", "btm/report"},
    "btm/generate": COMPAT | {"btm/mixing"},
    "btm/serve": COMPAT | {"btm/generate", "btm/mixing"},
    "btm/branch": COMPAT | {"btm/cluster"},
    "btm/merge": COMPAT | {"btm/model"},
    "btm/mix": COMPAT | EVALUATOR | {"btm/merge", "btm/mixing"},
    "btm/report": COMPAT | {"btm/evaluator"},
    "btm/run": COMPAT | {"btm/cluster", "btm/mixing", "btm/report"},
    "btm/cli": COMPAT
    | EVALUATOR
    | {"btm/branch", "btm/cluster", "btm/distributed", "btm/ensemble", "btm/generate", "btm/merge"}
    | {"btm/machine", "btm/mix", "btm/mixing", "btm/report", "btm/run", "btm/serve"}
    | {"btm/trainer"},
    "btm": COMPAT | {"btm/cli", "btm/machine"},
}
NO_LIBTORCH = {"compat", "converters", "btm/data", "btm/cluster", "btm/cli"}
NO_LIBTORCH |= {"btm/generate", "btm/serve"}
LIBTORCH = re.compile(r"^(torch|ATen|c10)/")


def layer(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in ("btm", "compat") and len(parts) > 2 else parts[0]


def main() -> int:
    breaches = []
    for folder in ("compat", "btm", "converters"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix not in (".h", ".cpp"):
                continue
            name = file.relative_to(ROOT).as_posix()
            here = layer(name)
            if here not in ALLOWED:
                breaches.append(f"{name}: folder {here} has no rule in scripts/check_includes.py")
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
                if not found:
                    continue
                quote, target = found.groups()
                if quote == '"' and layer(target) not in ALLOWED[here] | {here}:
                    breaches.append(f"{name}:{number}: {here} may not include {target}")
                if LIBTORCH.match(target) and NO_LIBTORCH & {here, here.split("/")[0]}:
                    breaches.append(
                        f"{name}:{number}: {here} may not include LibTorch, found {target}"
                    )
    print("\n".join(breaches) if breaches else "includes follow the layers")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
