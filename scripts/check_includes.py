#!/usr/bin/env python3
"""Checks that #include lines follow the one direction of dependencies. Exit 1 with a line per breach."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# folder -> the project folders its files may include
ALLOWED = {
    "compat": {"compat"},
    "converters": {"converters", "compat"},
    "btm/data": {"btm/data", "compat"},
    "btm/model": {"btm/model", "compat"},
    "btm/evaluator": {"btm/evaluator", "btm/model", "btm/data", "compat"},
    "btm/distributed": {"btm/distributed", "compat"},
    "btm/trainer": {
        "btm/trainer",
        "btm/distributed",
        "btm/evaluator",
        "btm/model",
        "btm/data",
        "compat",
    },
    "btm/cluster": {"btm/cluster", "compat"},
    "btm/ensemble": {
        "btm/ensemble",
        "btm/cluster",
        "btm/distributed",
        "btm/evaluator",
        "btm/model",
        "btm/data",
        "compat",
    },
    "btm/branch": {"btm/branch", "btm/cluster", "compat"},
    "btm/merge": {"btm/merge", "btm/model", "compat"},
    "btm/report": {"btm/report", "compat"},
    "btm/run": {"btm/run", "btm/report", "compat"},
    "btm/cli": {
        "btm/cli",
        "btm/run",
        "btm/report",
        "btm/merge",
        "btm/branch",
        "btm/ensemble",
        "btm/cluster",
        "btm/trainer",
        "btm/evaluator",
        "btm/model",
        "btm/data",
        "btm/distributed",
        "compat",
    },
    "btm": {"btm", "btm/cli", "compat"},
}
NO_TORCH = {"compat", "converters", "btm/data", "btm/cluster", "btm/cli"}
TORCH = re.compile(r"^(torch|ATen|c10)/")


def layer(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "btm" and len(parts) > 2 else parts[0]


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
                if quote == '"' and layer(target) not in ALLOWED[here]:
                    breaches.append(f"{name}:{number}: {here} may not include {target}")
                if TORCH.match(target) and here in NO_TORCH:
                    breaches.append(f"{name}:{number}: {here} is free of torch, found {target}")
    print("\n".join(breaches) if breaches else "includes follow the layers")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
